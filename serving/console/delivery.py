"""What became of a list at the CRM, as the command that made it tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.console.terminal import out
from serving.crm.target import Kind

__all__ = ["counted", "delivered"]


def delivered(record: Mapping[str, Any]) -> None:
    """Print what was sent, or why it was not, and how to send it."""
    name, sent, left = record["crm"], record["sent"], record["to_send"]
    if sent is None:
        if left:
            _say(
                f"Nothing was sent to {name} yet: {left:,} objects wait. Look at them with"
                " `expansion crm send --dry-run`, send them with `expansion crm send`."
            )
        return
    made, changed = counted(sent["made"]), counted(sent["changed"])
    _say(
        f"Sent to {name}: {made or 'nothing'} made, {changed or 'nothing'} changed,"
        f" {sent['unchanged']:,} as they were."
    )
    for count, words in (
        (sent["theirs"], "field(s) stay as a human set them"),
        (sent["adopted"], "of a human's making are filled from now on"),
        (sent["rejected"], "were refused; `expansion crm rejected` says why"),
        (sent["waiting"], "wait for an account or an opportunity that is not there"),
        (sent["left"], "are left for the next time"),
    ):
        if count:
            _say(f"{count:,} {words}.")
    if sent["words"]:
        _say(f"Stopped early: {sent['words']}.")


def counted(kinds: Mapping[Kind, int] | Mapping[str, int]) -> str:
    """Say how many of each kind, leaving out what there is none of."""
    plural = {"account": "accounts", "opportunity": "opportunities", "task": "tasks"}
    told = ((count, kind if count == 1 else plural[kind]) for kind, count in kinds.items())
    return ", ".join(f"{count:,} {words}" for count, words in told if count)


def _say(words: str) -> None:
    out.print(words, highlight=False, markup=False)

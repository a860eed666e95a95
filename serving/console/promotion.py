"""What the terminal tells of the gate, and of who is champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.console.terminal import out

if TYPE_CHECKING:
    from training.gate import Ruling
    from training.registry import Aliases, Promotion

__all__ = ["promoted", "ruled"]


def ruled(ruling: Ruling, simple: str, version: str, stands: Aliases) -> None:
    """Print the ruling on a version just trained, and what the weekly list is by now."""
    for sentence in (ruling.sentence, *ruling.notes):
        out.print(sentence, highlight=False, markup=False)
    out.print(_standing(simple, version, stands), highlight=False, style="bold", markup=False)


def promoted(made: Promotion) -> None:
    """Print a change of champion."""
    before = "" if made.previous is None else f" in place of version {made.previous}"
    forced = ", against the gate" if made.forced else ""
    out.print(
        f"Version {made.version} is champion{before}{forced}: {made.reason}",
        highlight=False,
        markup=False,
    )


def _standing(simple: str, version: str, stands: Aliases) -> str:
    if stands.champion == version:
        return f"Version {version} is champion: the weekly list is by it."
    waits = f"Version {version} waits as the challenger"
    if stands.champion is None:
        return (
            f"{waits}, and there is no champion: the weekly list is by the best simple ranking,"
            f" {simple}, with a probability calibrated on the past."
        )
    return f"{waits}, and version {stands.champion} stays champion."

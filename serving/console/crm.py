"""What the terminal tells of the delivery to the CRM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from serving.console.delivery import counted
from serving.console.terminal import out

if TYPE_CHECKING:
    from serving.crm.target import Finding, Value
    from serving.outbox.sent import Planned, Sent
    from serving.outbox.undo import TakenBack

__all__ = [
    "differences",
    "findings",
    "made",
    "rejected",
    "retried",
    "sent",
    "standing",
    "taken_back",
]

_LONG: Final = 60


def findings(name: str, found: Sequence[Finding]) -> None:
    """Print a pre-flight, a line for each thing that was looked at."""
    for finding in found:
        some = f" (such as {', '.join(finding.examples)})" if finding.examples else ""
        mark, style = ("ok ", "") if finding.well else ("no ", "bold")
        _say(f"{mark} {finding.about}: {finding.words}{some}", style)
    wrong = sum(not finding.well for finding in found)
    _say(f"{name} is ready." if not wrong else f"{name} is not ready: {_things(wrong)} to mend.")


def made(name: str, lines: Sequence[str]) -> None:
    """Print what a setup has made."""
    for line in lines:
        _say(f"made {line}")
    if not lines:
        _say(f"All that {name} needs is there.")


def differences(shown: Sequence[Planned], told: Sent) -> None:
    """Print, field by field, what would change."""
    for planned in shown:
        _say(f"{planned.kind} {planned.key}{', new' if planned.made else ''}", "bold")
        for field, after in planned.after.items():
            before = planned.before.get(field)
            was = "" if planned.made else f"{_value(before)} → "
            _say(f"    {field}: {was}{_value(after)}")
        if planned.theirs:
            _say(f"    as a human set them: {', '.join(planned.theirs)}")
    if told.written > len(shown):
        _say(f"… and {told.written - len(shown):,} more; --top prints them.", "dim")


def sent(name: str, told: Sent, *, dry_run: bool) -> None:
    """Print the counts of a sending, or of what one would do."""
    verb = "Would be sent" if dry_run else "Sent"
    if told.written or not told.words:
        stood = f"; {told.unchanged:,} stood there already" if told.unchanged else ""
        _say(
            f"{verb} to {name}: {counted(told.made) or 'nothing'} made,"
            f" {counted(told.changed) or 'nothing'} changed, {told.fields:,} fields in all{stood}."
        )
    for line in _beside(told):
        _say(line)
    if told.words:
        _say(f"Stopped early: {told.words}.")


def standing(told: Mapping[str, Any]) -> None:
    """Print how the delivery stands."""
    objects = counted(told["objects"]) or "nothing; run `expansion score` first"
    _say(f"What should be true at {told['crm']}: {objects}.")
    if told["as_of"]:
        _say(f"What it has acknowledged last is as of {told['as_of']}.")
    _say(f"{told['to_send']:,} still to be sent, {told['refused']:,} refused.")
    if told["unanswered"]:
        _say(f"Of {told['unanswered']:,} it is not known whether it took the last write.")
    if told["with_fields_of_humans"]:
        _say(f"{told['with_fields_of_humans']:,} with fields that humans have set.")
    if not told["reads_edits"]:
        _say("Nothing is read back from it; the next export overwrites edits.")
    if told["sender"]:
        _say(f"At work now: {told['sender']['owner']}.")
    for run in told["runs"]:
        back = run["run_id"] < 0
        name = f"taking back run {-run['run_id']}" if back else f"run {run['run_id']}"
        _say(f"  {name}: {run['changes']:,} changes, last at {run['last']:%Y-%m-%d %H:%M}")
    for each in told["sends"]:
        end = "did not finish" if each["finished_at"] is None else each["words"] or "finished"
        _say(f"  sent {each['started_at']:%Y-%m-%d %H:%M}: {_summed(each['counts'])}{end}")


def rejected(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what was refused, and in which words."""
    for row in rows:
        often = "" if row["tries"] == 1 else f" ({row['tries']} times)"
        _say(f"{row['kind']} {row['key']}{often}: {row['words']}")
    if rows:
        _say("Mend it, then let it be tried again: expansion crm retry [KEY…]")
    else:
        _say(f"{name} has refused nothing.")


def retried(count: int) -> None:
    """Print what will be tried again."""
    _say(f"{_things(count)} will be tried again by the next `expansion crm send`.")


def taken_back(back: TakenBack) -> None:
    """Print what a run's undoing comes to."""
    _say(f"Run {back.run_id}: {_things(back.objects)} to put back.")
    if back.unsent:
        _say(f"{_things(back.unsent)} of it had not been sent, and will not be.")
    if back.later:
        _say(f"{back.later:,} field(s) were changed by a later run, and stay.")


def _beside(told: Sent) -> Iterable[str]:
    for count, words in (
        (told.theirs, "field(s) stay as a human set them"),
        (told.adopted, "of a human's making are filled from now on"),
        (told.gone, "were deleted by a human and stay deleted"),
        (told.rejected, "were refused; `expansion crm rejected` says why"),
        (told.waiting, "wait for an account or an opportunity that is not there"),
        (told.left, "are left for the next time"),
    ):
        if count:
            yield f"{count:,} {words}."


def _summed(counts: Mapping[str, Any]) -> str:
    if not counts:
        return ""
    written = sum(counts["made"].values()) + sum(counts["changed"].values())
    return f"{written:,} written, {counts['rejected']:,} refused, {counts['left']:,} left; "


def _things(count: int) -> str:
    return "one object" if count == 1 else f"{count:,} objects"


def _value(value: Value) -> str:
    told = "empty" if value is None else str(value).replace("\n", " / ")
    return told if len(told) <= _LONG else f"{told[: _LONG - 1]}…"


def _say(words: str, style: str = "") -> None:
    out.print(words, highlight=False, markup=False, style=style)

"""What the terminal tells of the delivery to the CRM."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from serving.cli.output.object_counts import format_counts
from serving.cli.output.terminal import stdout

if TYPE_CHECKING:
    from serving.delivery.crm.base import PreflightCheck, Value
    from serving.delivery.reconcile.rollback import RollbackResult
    from serving.delivery.reconcile.summary import PlannedChange, SyncSummary

__all__ = [
    "print_delivery_status",
    "print_diff",
    "print_preflight",
    "print_provisioning",
    "print_rejections",
    "print_requeued",
    "print_rollback",
    "print_sync_summary",
]

_MAX_VALUE_LENGTH: Final = 60


def print_preflight(name: str, checks: Sequence[PreflightCheck]) -> None:
    """Print a pre-flight, a line for each thing that was looked at."""
    for finding in checks:
        some = f" (such as {', '.join(finding.examples)})" if finding.examples else ""
        mark, style = ("ok ", "") if finding.passed else ("no ", "bold")
        _print_line(f"{mark} {finding.subject}: {finding.message}{some}", style)
    failed = sum(not finding.passed for finding in checks)
    _print_line(
        f"{name} is ready."
        if not failed
        else f"{name} is not ready: {_format_object_count(failed)} to mend."
    )


def print_provisioning(name: str, lines: Sequence[str]) -> None:
    """Print what a setup has made."""
    for line in lines:
        _print_line(f"made {line}")
    if not lines:
        _print_line(f"All that {name} needs is there.")


def print_diff(changes: Sequence[PlannedChange], summary: SyncSummary) -> None:
    """Print, field by field, what would change."""
    for planned in changes:
        _print_line(f"{planned.kind} {planned.key}{', new' if planned.made else ''}", "bold")
        for field, after in planned.after.items():
            before = planned.before.get(field)
            was = "" if planned.made else f"{_format_value(before)} → "
            _print_line(f"    {field}: {was}{_format_value(after)}")
        if planned.theirs:
            _print_line(f"    as a human set them: {', '.join(planned.theirs)}")
    if summary.written > len(changes):
        _print_line(f"… and {summary.written - len(changes):,} more; --top prints them.", "dim")


def print_sync_summary(name: str, summary: SyncSummary, *, dry_run: bool) -> None:
    """Print the counts of a sending, or of what one would do."""
    verb = "Would be sent" if dry_run else "Sent"
    if summary.written or not summary.words:
        unchanged = f"; {summary.unchanged:,} stood there already" if summary.unchanged else ""
        _print_line(
            f"{verb} to {name}: {format_counts(summary.made) or 'nothing'} made,"
            f" {format_counts(summary.changed) or 'nothing'} changed, {summary.fields:,} fields in all{unchanged}."
        )
    for line in _describe_exceptions(summary):
        _print_line(line)
    if summary.words:
        _print_line(f"Stopped early: {summary.words}.")


def print_delivery_status(status: Mapping[str, Any]) -> None:
    """Print how the delivery stands."""
    objects = format_counts(status["objects"]) or "nothing; run `expansion score` first"
    _print_line(f"What should be true at {status['crm']}: {objects}.")
    if status["as_of"]:
        _print_line(f"What it has acknowledged last is as of {status['as_of']}.")
    _print_line(f"{status['to_send']:,} still to be sent, {status['refused']:,} refused.")
    if status["unanswered"]:
        _print_line(f"Of {status['unanswered']:,} it is not known whether it took the last write.")
    if status["with_fields_of_humans"]:
        _print_line(f"{status['with_fields_of_humans']:,} with fields that humans have set.")
    if not status["reads_edits"]:
        _print_line("Nothing is read back from it; the next export overwrites edits.")
    if status["sender"]:
        _print_line(f"At work now: {status['sender']['owner']}.")
    for run in status["runs"]:
        back = run["run_id"] < 0
        name = f"taking back run {-run['run_id']}" if back else f"run {run['run_id']}"
        _print_line(f"  {name}: {run['changes']:,} changes, last at {run['last']:%Y-%m-%d %H:%M}")
    for each in status["sends"]:
        end = "did not finish" if each["finished_at"] is None else each["words"] or "finished"
        _print_line(
            f"  sent {each['started_at']:%Y-%m-%d %H:%M}: {_format_sync_counts(each['counts'])}{end}"
        )


def print_rejections(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print what was refused, and in which words."""
    for row in rows:
        attempts = "" if row["tries"] == 1 else f" ({row['tries']} times)"
        _print_line(f"{row['kind']} {row['key']}{attempts}: {row['words']}")
    if rows:
        _print_line("Mend it, then let it be tried again: expansion crm retry [KEY…]")
    else:
        _print_line(f"{name} has refused nothing.")


def print_requeued(count: int) -> None:
    """Print what will be tried again."""
    _print_line(
        f"{_format_object_count(count)} will be tried again by the next `expansion crm send`."
    )


def print_rollback(rollback: RollbackResult) -> None:
    """Print what a run's undoing comes to."""
    _print_line(f"Run {rollback.run_id}: {_format_object_count(rollback.objects)} to put back.")
    if rollback.unsent:
        _print_line(
            f"{_format_object_count(rollback.unsent)} of it had not been sent, and will not be."
        )
    if rollback.later:
        _print_line(f"{rollback.later:,} field(s) were changed by a later run, and stay.")


def _describe_exceptions(summary: SyncSummary) -> Iterable[str]:
    for count, words in (
        (summary.theirs, "field(s) stay as a human set them"),
        (summary.adopted, "of a human's making are filled from now on"),
        (summary.gone, "were deleted by a human and stay deleted"),
        (summary.rejected, "were refused; `expansion crm rejected` says why"),
        (summary.waiting, "wait for an account or an opportunity that is not there"),
        (summary.left, "are left for the next time"),
    ):
        if count:
            yield f"{count:,} {words}."


def _format_sync_counts(counts: Mapping[str, Any]) -> str:
    if not counts:
        return ""
    written = sum(counts["made"].values()) + sum(counts["changed"].values())
    return f"{written:,} written, {counts['rejected']:,} refused, {counts['left']:,} left; "


def _format_object_count(count: int) -> str:
    return "one object" if count == 1 else f"{count:,} objects"


def _format_value(value: Value) -> str:
    text = "empty" if value is None else str(value).replace("\n", " / ")
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[: _MAX_VALUE_LENGTH - 1]}…"


def _print_line(text: str, style: str = "") -> None:
    stdout.print(text, highlight=False, markup=False, style=style)

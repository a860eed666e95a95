"""Terminal output of the delivery to the CRM and to Slack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from serving.cli.output.terminal import print_line

if TYPE_CHECKING:
    from serving.delivery.crm.base import Kind, PreflightCheck, Value
    from serving.delivery.reconcile.diff import PlannedChange
    from serving.delivery.reconcile.rollback import RollbackResult
    from serving.delivery.reconcile.summary import SyncSummary
    from serving.notify.slack.delivery import PostSummary

__all__ = [
    "print_delivery_status",
    "print_diff",
    "print_posts",
    "print_preflight",
    "print_provisioning",
    "print_rejections",
    "print_requeued",
    "print_rollback",
    "print_send_hint",
    "print_sync_summary",
]

_MAX_VALUE_LENGTH: Final = 60
_PLURAL: Final = {"account": "accounts", "opportunity": "opportunities", "task": "tasks"}


def print_preflight(name: str, checks: Sequence[PreflightCheck]) -> None:
    """Print a preflight, one line per check."""
    for check in checks:
        examples = f" (such as {', '.join(check.examples)})" if check.examples else ""
        mark, style = ("ok ", "") if check.passed else ("no ", "bold")
        print_line(f"{mark} {check.subject}: {check.message}{examples}", style)
    failed = sum(not check.passed for check in checks)
    print_line(
        f"{name} is ready." if not failed else f"{name} is not ready: {failed} check(s) failed."
    )


def print_provisioning(name: str, lines: Sequence[str]) -> None:
    """Print what a setup created."""
    for line in lines:
        print_line(f"created {line}")
    if not lines:
        print_line(f"Nothing is missing in {name}.")


def print_diff(changes: Sequence[PlannedChange], summary: SyncSummary) -> None:
    """Print the planned changes field by field."""
    for planned in changes:
        print_line(f"{planned.kind} {planned.key}{', new' if planned.is_new else ''}", "bold")
        for field, after in planned.after.items():
            was = "" if planned.is_new else f"{_format_value(planned.before.get(field))} → "
            print_line(f"    {field}: {was}{_format_value(after)}")
        if planned.human_fields:
            print_line(f"    kept as set by a human: {', '.join(planned.human_fields)}")
    if summary.written > len(changes):
        print_line(f"… and {summary.written - len(changes):,} more; --top prints them.", "dim")


def print_sync_summary(name: str, summary: SyncSummary, *, dry_run: bool) -> None:
    """Print the counts of a sync, or of a dry run."""
    verb = "Would be sent" if dry_run else "Sent"
    if summary.written or not summary.stop_reason:
        unchanged = f"; {summary.unchanged:,} already in sync" if summary.unchanged else ""
        print_line(
            f"{verb} to {name}: {_format_counts(summary.created) or 'nothing'} created,"
            f" {_format_counts(summary.updated) or 'nothing'} updated,"
            f" {summary.fields:,} fields in all{unchanged}."
        )
    for line in _describe_exceptions(summary):
        print_line(line)
    if summary.stop_reason:
        print_line(f"Stopped early: {summary.stop_reason}.")


def print_send_hint(name: str, pending: int) -> None:
    """Print the commands that send pending objects, if nothing was sent."""
    if pending:
        print_line(
            f"Nothing was sent to {name} yet: {pending:,} objects are pending. Preview them with"
            f" `expansion crm send --crm {name} --dry-run`; omit --dry-run to send them."
        )


def print_delivery_status(status: Mapping[str, Any]) -> None:
    """Print the delivery status."""
    objects = _format_counts(status["objects"]) or "nothing; run `expansion score` first"
    print_line(f"Desired state of {status['crm']}: {objects}.")
    if status["as_of"]:
        print_line(f"Last applied list: as of {status['as_of']}.")
    print_line(f"{status['pending']:,} pending, {status['rejected']:,} rejected.")
    if status["unconfirmed"]:
        print_line(f"{status['unconfirmed']:,} with an unconfirmed last write.")
    if status["human_edited"]:
        print_line(f"{status['human_edited']:,} with fields that humans have set.")
    if not status["reads_edits"]:
        print_line("Nothing is read back from it; the next export overwrites edits.")
    if status["sender"]:
        print_line(f"Sending now: {status['sender']['owner']}.")
    for run in status["runs"]:
        is_rollback = run["run_id"] < 0
        name = f"undo of run {-run['run_id']}" if is_rollback else f"run {run['run_id']}"
        print_line(f"  {name}: {run['changes']:,} changes, last at {run['last']:%Y-%m-%d %H:%M}")
    for sync in status["sync_runs"]:
        end = "did not finish" if sync["finished_at"] is None else sync["stop_reason"] or "finished"
        counts = _format_sync_counts(sync["counts"])
        print_line(f"  sync {sync['started_at']:%Y-%m-%d %H:%M}: {counts}{end}")


def print_rejections(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rejected objects with the CRM's error message."""
    for row in rows:
        attempts = "" if row["attempts"] == 1 else f" ({row['attempts']} times)"
        print_line(f"{row['kind']} {row['key']}{attempts}: {row['reason']}")
    if rows:
        print_line("Fix the cause, then queue them again: expansion crm retry [KEY…]")
    else:
        print_line(f"{name} has rejected nothing.")


def print_requeued(count: int) -> None:
    """Print the number of objects queued for a retry."""
    print_line(
        f"{_format_object_count(count)} will be sent again by the next `expansion crm send`."
    )


def print_rollback(rollback: RollbackResult) -> None:
    """Print the counts of a rollback."""
    print_line(f"Run {rollback.run_id}: {_format_object_count(rollback.objects)} to restore.")
    if rollback.unsent:
        print_line(
            f"{_format_object_count(rollback.unsent)} had not been sent, and will not be sent."
        )
    if rollback.superseded_fields:
        print_line(f"{rollback.superseded_fields:,} field(s) kept: a later run changed them.")


def print_posts(summary: PostSummary) -> None:
    """Print the counts of posted Slack messages, and one line per message that needs attention."""
    print_line(
        f"{len(summary.posted):,} posted in Slack, {len(summary.already_posted):,} posted earlier"
    )
    for key in summary.unknown:
        print_line(
            f"{key}: may have been posted; the webhook cannot confirm it. Use --repost-unknown"
            " to post it again."
        )
    for key in summary.unroutable:
        print_line(f"{key}: no channel and no user with this e-mail; set one in slack.channels")
    for key, reason in summary.rejected.items():
        print_line(f"{key}: rejected by Slack: {reason}")
    if summary.remaining:
        print_line(f"{len(summary.remaining):,} remaining for the next run: {summary.stop_reason}")


def _describe_exceptions(summary: SyncSummary) -> Iterable[str]:
    for count, text in (
        (summary.human_fields, "field(s) kept because a human set them"),
        (summary.adopted, "created by a human, updated from now on"),
        (summary.deleted_in_crm, "deleted by a human, not created again"),
        (summary.rejected, "rejected; `expansion crm rejected` lists the reasons"),
        (summary.waiting_for_parent, "waiting for an account or opportunity that is missing"),
        (summary.remaining, "remaining for the next run"),
    ):
        if count:
            yield f"{count:,} {text}."


def _format_counts(kinds: Mapping[Kind, int] | Mapping[str, int]) -> str:
    """Format the count of each kind, omitting zeros."""
    counts = ((count, kind if count == 1 else _PLURAL[kind]) for kind, count in kinds.items())
    return ", ".join(f"{count:,} {noun}" for count, noun in counts if count)


def _format_sync_counts(counts: Mapping[str, Any]) -> str:
    if not counts:
        return ""
    written = sum(counts["created"].values()) + sum(counts["updated"].values())
    return (
        f"{written:,} written, {counts['rejected']:,} rejected, {counts['remaining']:,} remaining; "
    )


def _format_object_count(count: int) -> str:
    return "one object" if count == 1 else f"{count:,} objects"


def _format_value(value: Value) -> str:
    text = "empty" if value is None else str(value).replace("\n", " / ")
    return text if len(text) <= _MAX_VALUE_LENGTH else f"{text[: _MAX_VALUE_LENGTH - 1]}…"

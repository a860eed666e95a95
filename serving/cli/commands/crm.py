"""Commands about the delivery to the CRM: prepare it, send, look, take back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from serving.cli.commands import options

if TYPE_CHECKING:
    from serving.delivery.reconcile.summary import PlannedChange

__all__ = ["crm"]


@click.group()
def crm() -> None:
    """Deliver the list to the CRM, and see what became of it."""


@crm.command()
@options.config_option
@options.crm_option
@options.json_option
def check(config: Path, name: str | None, as_json: bool) -> None:
    """Look, without writing, whether the CRM is ready: key, rights, fields, matching accounts.

    Example: expansion crm check --crm odoo
    """
    from data.ingest import table_loader
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.crm.base import AccessDeniedError, ObjectRef, RetryableError

    settings, now = options.load_settings_and_time(config)
    rows = (
        table_loader.load_tables(settings, now)
        .accounts.rows.select("account_id", "crm_id")
        .iter_rows()
    )
    refs = [ObjectRef("account", account, account, crm_id=crm_id) for account, crm_id in rows]
    with closing(registry.open_target(settings, name)) as target:
        try:
            findings = target.preflight(refs)
        except (AccessDeniedError, RetryableError) as error:
            raise options.to_crm_error(target.name, error) from error
        if as_json:
            output.print_json({"crm": target.name, "findings": [asdict(each) for each in findings]})
        else:
            output.print_preflight(target.name, findings)
    if not all(finding.passed for finding in findings):
        raise click.exceptions.Exit(1)


@crm.command()
@options.config_option
@options.crm_option
@options.json_option
def setup(config: Path, name: str | None, as_json: bool) -> None:
    """Make fields, unique keys and pipeline in the CRM where they are missing; safe to repeat.

    Example: expansion crm setup --crm odoo
    """
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.crm.base import AccessDeniedError, RetryableError

    settings, _ = options.load_settings_and_time(config)
    with closing(registry.open_target(settings, name)) as target:
        try:
            made = target.provision()
        except (AccessDeniedError, RetryableError) as error:
            raise options.to_crm_error(target.name, error) from error
        if as_json:
            output.print_json({"crm": target.name, "made": made})
        else:
            output.print_provisioning(target.name, made)


@crm.command()
@options.config_option
@options.crm_option
@click.option("--dry-run", is_flag=True, help="Print field by field what would change; no writes.")
@click.option("--full", is_flag=True, help="Look at every object, not only at what differs.")
@click.option(
    "--top", type=click.IntRange(0), default=20, show_default=True, help="Objects to print."
)
@options.json_option
def send(
    config: Path, name: str | None, dry_run: bool, full: bool, top: int, as_json: bool
) -> None:
    """Send what the CRM does not know yet. Safe to repeat, and to kill.

    Example: expansion crm send --dry-run
    """
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.reconcile import sender
    from serving.delivery.reconcile.dry_run import preview_changes

    settings, now = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    shown: list[PlannedChange] = []

    def collect_change(planned: PlannedChange) -> None:
        if len(shown) < top:
            shown.append(planned)

    seconds = 60 * settings.crm.max_minutes
    with closing(registry.open_target(settings, name)) as target:
        if dry_run:
            sent = preview_changes(
                engine, target, resync=full, on_change=collect_change, budget_seconds=seconds
            )
        else:
            sent = sender.send_pending(
                engine,
                target,
                now=now,
                resync=full,
                on_change=collect_change,
                budget_seconds=seconds,
                max_writes=settings.crm.max_writes,
            )
    if as_json:
        objects = [asdict(each) for each in shown]
        output.print_json(
            {"crm": target.name, "dry_run": dry_run, **sent.to_dict(), "objects": objects}
        )
    else:
        if dry_run:
            output.print_diff(shown, sent)
        output.print_sync_summary(target.name, sent, dry_run=dry_run)


@crm.command()
@options.config_option
@options.crm_option
@options.json_option
def status(config: Path, name: str | None, as_json: bool) -> None:
    """Tell what waits, what was refused, and how the last sendings went.

    Example: expansion crm status
    """
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.status import load_delivery_status

    settings, _ = options.load_settings_and_time(config)
    told = load_delivery_status(
        options.open_database(settings), registry.resolve_target_name(settings, name)
    )
    if as_json:
        output.print_json(told)
    else:
        output.print_delivery_status(told)


@crm.command()
@options.config_option
@options.crm_option
@options.json_option
def rejected(config: Path, name: str | None, as_json: bool) -> None:
    """List what the CRM will not take, with its own words.

    Example: expansion crm rejected
    """
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.status import list_rejected

    settings, _ = options.load_settings_and_time(config)
    wanted = registry.resolve_target_name(settings, name)
    rows = list_rejected(options.open_database(settings), wanted)
    if as_json:
        output.print_json({"crm": wanted, "rejected": rows})
    else:
        output.print_rejections(wanted, rows)


@crm.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@options.config_option
@options.crm_option
@options.json_option
def retry(keys: tuple[str, ...], config: Path, name: str | None, as_json: bool) -> None:
    """Let the next sending try again what was refused: all of it, or some keys.

    A key of something that was deleted in the CRM is made anew.

    Example: expansion crm retry acc_00042
    """
    from data.errors import DeliveryError
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.status import requeue_rejected

    settings, _ = options.load_settings_and_time(config)
    wanted = registry.resolve_target_name(settings, name)
    count = requeue_rejected(options.open_database(settings), wanted, keys)
    if keys and not count:
        raise DeliveryError(
            f"nothing of the key(s) {', '.join(keys[:3])} is to be sent to {wanted!r};"
            " `expansion crm rejected` lists what was refused."
        )
    if as_json:
        output.print_json({"crm": wanted, "retried": count})
    else:
        output.print_requeued(count)


@crm.command()
@click.argument("run", type=click.IntRange(1))
@options.config_option
@options.crm_option
@options.json_option
def undo(run: int, config: Path, name: str | None, as_json: bool) -> None:
    """Put the CRM's fields back as they were before a run; nothing is deleted.

    What a human or a later run has changed since stays. What the run made is marked "withdrawn".

    Example: expansion crm undo 12
    """
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.reconcile import rollback as undoing
    from serving.delivery.reconcile import sender

    settings, now = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    with closing(registry.open_target(settings, name)) as target:
        back = undoing.roll_back_run(engine, target.name, run)
        seconds = 60 * settings.crm.max_minutes
        sent = sender.send_pending(engine, target, now=now, run_id=-run, budget_seconds=seconds)
    if as_json:
        output.print_json({"crm": target.name, **asdict(back), "sent": sent.to_dict()})
    else:
        output.print_rollback(back)
        output.print_sync_summary(target.name, sent, dry_run=False)

"""The `crm` commands: preflight, provisioning, sync, status and rollback."""

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
    """Deliver the list to the CRM and inspect the delivery."""


@crm.command()
@options.config_option
@options.crm_option
@options.json_option
def check(config: Path, name: str | None, as_json: bool) -> None:
    """Check, without writing, that the CRM is ready: key, permissions, fields, matching accounts.

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
            checks = target.preflight(refs)
        except (AccessDeniedError, RetryableError) as error:
            raise options.to_crm_error(target.name, error) from error
        if as_json:
            output.print_json(
                {"crm": target.name, "checks": [asdict(check_result) for check_result in checks]}
            )
        else:
            output.print_preflight(target.name, checks)
    if not all(check_result.passed for check_result in checks):
        raise click.exceptions.Exit(1)


@crm.command()
@options.config_option
@options.crm_option
@options.json_option
def setup(config: Path, name: str | None, as_json: bool) -> None:
    """Create missing fields, unique keys and the pipeline in the CRM; safe to repeat.

    Example: expansion crm setup --crm odoo
    """
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.crm.base import AccessDeniedError, RetryableError

    settings, _ = options.load_settings_and_time(config)
    with closing(registry.open_target(settings, name)) as target:
        try:
            created = target.provision()
        except (AccessDeniedError, RetryableError) as error:
            raise options.to_crm_error(target.name, error) from error
        if as_json:
            output.print_json({"crm": target.name, "created": created})
        else:
            output.print_provisioning(target.name, created)


@crm.command()
@options.config_option
@options.crm_option
@click.option("--dry-run", is_flag=True, help="Print the changes field by field, without writing.")
@click.option("--resync", is_flag=True, help="Check every object, not only changed ones.")
@click.option(
    "--top", type=click.IntRange(0), default=20, show_default=True, help="Objects to print."
)
@options.json_option
def send(
    config: Path, name: str | None, dry_run: bool, resync: bool, top: int, as_json: bool
) -> None:
    """Send pending changes to the CRM. Safe to repeat, and to kill.

    Example: expansion crm send --dry-run
    """
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.reconcile import sender
    from serving.delivery.reconcile.dry_run import preview_changes

    settings, now = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    changes: list[PlannedChange] = []

    def collect_change(planned: PlannedChange) -> None:
        if len(changes) < top:
            changes.append(planned)

    seconds = 60 * settings.crm.max_minutes
    with closing(registry.open_target(settings, name)) as target:
        if dry_run:
            summary = preview_changes(
                engine, target, resync=resync, on_change=collect_change, budget_seconds=seconds
            )
        else:
            summary = sender.send_pending(
                engine,
                target,
                now=now,
                resync=resync,
                on_change=collect_change,
                budget_seconds=seconds,
                max_writes=settings.crm.max_writes,
            )
    if as_json:
        objects = [asdict(change) for change in changes]
        output.print_json(
            {"crm": target.name, "dry_run": dry_run, **summary.to_dict(), "objects": objects}
        )
    else:
        if dry_run:
            output.print_diff(changes, summary)
        output.print_sync_summary(target.name, summary, dry_run=dry_run)


@crm.command()
@options.config_option
@options.crm_option
@options.json_option
def status(config: Path, name: str | None, as_json: bool) -> None:
    """Print pending and rejected objects, and the last sync runs.

    Example: expansion crm status
    """
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.status import load_delivery_status

    settings, _ = options.load_settings_and_time(config)
    target_name = registry.resolve_target_name(settings, name)
    delivery_status = load_delivery_status(options.open_database(settings), target_name)
    if as_json:
        output.print_json(delivery_status)
    else:
        output.print_delivery_status(delivery_status)


@crm.command(name="rejected")
@options.config_option
@options.crm_option
@options.json_option
def print_rejected(config: Path, name: str | None, as_json: bool) -> None:
    """List the objects that the CRM rejected, with its error message.

    Example: expansion crm rejected
    """
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.status import list_rejected

    settings, _ = options.load_settings_and_time(config)
    target_name = registry.resolve_target_name(settings, name)
    rows = list_rejected(options.open_database(settings), target_name)
    if as_json:
        output.print_json({"crm": target_name, "rejected": rows})
    else:
        output.print_rejections(target_name, rows)


@crm.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@options.config_option
@options.crm_option
@options.json_option
def retry(keys: tuple[str, ...], config: Path, name: str | None, as_json: bool) -> None:
    """Queue rejected objects to be sent again: all, or the given keys.

    An object that was deleted in the CRM is created again if its key is given.

    Example: expansion crm retry acc_00042
    """
    from data.errors import DeliveryError
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.status import requeue_rejected

    settings, _ = options.load_settings_and_time(config)
    target_name = registry.resolve_target_name(settings, name)
    count = requeue_rejected(options.open_database(settings), target_name, keys)
    if keys and not count:
        raise DeliveryError(
            f"no object with key(s) {', '.join(keys[:3])} is desired in {target_name!r};"
            " `expansion crm rejected` lists rejected objects."
        )
    if as_json:
        output.print_json({"crm": target_name, "requeued": count})
    else:
        output.print_requeued(count)


@crm.command()
@click.argument("run", type=click.IntRange(1))
@options.config_option
@options.crm_option
@options.json_option
def undo(run: int, config: Path, name: str | None, as_json: bool) -> None:
    """Restore the CRM fields to their values before a run; nothing is deleted.

    Later changes by humans or other runs stay. Objects created by the run are marked "withdrawn".

    Example: expansion crm undo 12
    """
    from serving.cli import output
    from serving.delivery.crm import registry
    from serving.delivery.reconcile import rollback, sender

    settings, now = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    with closing(registry.open_target(settings, name)) as target:
        result = rollback.roll_back_run(engine, target.name, run)
        seconds = 60 * settings.crm.max_minutes
        summary = sender.send_pending(engine, target, now=now, run_id=-run, budget_seconds=seconds)
    if as_json:
        output.print_json({"crm": target.name, **asdict(result), "sent": summary.to_dict()})
    else:
        output.print_rollback(result)
        output.print_sync_summary(target.name, summary, dry_run=False)

"""The `crm` commands: preflight, provisioning, sync, status and rollback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serving.cli.commands import options
from serving.cli.output import delivery_summary, terminal

if TYPE_CHECKING:
    from data.config.settings import Settings
    from serving.delivery.crm.base import CrmTarget
    from serving.delivery.reconcile.diff import PlannedChange

__all__ = ["crm"]


@click.group()
def crm() -> None:
    """Deliver the list to the CRM and inspect the delivery."""


def _add_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every command of the group has."""
    return options.config_option(options.crm_option(options.json_option(command)))


@crm.command()
@_add_options
def check(config: Path, name: str | None, as_json: bool) -> None:
    """Check, without writing, that the CRM is ready: key, permissions, fields, matching accounts.

    Example: expansion crm check --crm odoo
    """
    from data.ingest import table_loader
    from serving.delivery.crm.base import ObjectRef

    settings, now = options.load_settings_and_time(config)
    accounts = table_loader.load_tables(settings, now).accounts.rows
    refs = [
        ObjectRef("account", account, account, crm_id=crm_id)
        for account, crm_id in accounts.select("account_id", "crm_id").iter_rows()
    ]
    with _open_target(settings, name) as target:
        checks = target.preflight(refs)
    if as_json:
        terminal.print_json({"crm": target.name, "checks": [asdict(result) for result in checks]})
    else:
        delivery_summary.print_preflight(target.name, checks)
    if not all(result.passed for result in checks):
        raise click.exceptions.Exit(1)


@crm.command()
@_add_options
def setup(config: Path, name: str | None, as_json: bool) -> None:
    """Create missing fields, unique keys and the pipeline in the CRM; safe to repeat.

    Example: expansion crm setup --crm odoo
    """
    settings, _ = options.load_settings_and_time(config)
    with _open_target(settings, name) as target:
        created = target.provision()
    if as_json:
        terminal.print_json({"crm": target.name, "created": created})
    else:
        delivery_summary.print_provisioning(target.name, created)


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
    from serving.delivery.reconcile import sender
    from serving.delivery.reconcile.dry_run import preview_changes

    settings, now = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    changes: list[PlannedChange] = []

    def collect_change(planned: PlannedChange) -> None:
        if len(changes) < top:
            changes.append(planned)

    seconds = 60 * settings.crm.max_minutes
    with _open_target(settings, name) as target:
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
        terminal.print_json(
            {"crm": target.name, "dry_run": dry_run, **summary.to_dict(), "objects": objects}
        )
        return
    if dry_run:
        delivery_summary.print_diff(changes, summary)
    delivery_summary.print_sync_summary(target.name, summary, dry_run=dry_run)


@crm.command()
@_add_options
def status(config: Path, name: str | None, as_json: bool) -> None:
    """Print pending and rejected objects, and the last sync runs.

    Example: expansion crm status
    """
    from serving.delivery.status import load_delivery_status

    engine, target_name = options.open_crm_queue(config, name)
    delivery_status = load_delivery_status(engine, target_name)
    if as_json:
        terminal.print_json(delivery_status)
    else:
        delivery_summary.print_delivery_status(delivery_status)


@crm.command(name="rejected")
@_add_options
def print_rejected(config: Path, name: str | None, as_json: bool) -> None:
    """List the objects that the CRM rejected, with its error message.

    Example: expansion crm rejected
    """
    from serving.delivery.status import list_rejected

    engine, target_name = options.open_crm_queue(config, name)
    rows = list_rejected(engine, target_name)
    if as_json:
        terminal.print_json({"crm": target_name, "rejected": rows})
    else:
        delivery_summary.print_rejections(target_name, rows)


@crm.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@_add_options
def retry(keys: tuple[str, ...], config: Path, name: str | None, as_json: bool) -> None:
    """Queue rejected objects to be sent again: all, or the given keys.

    An object that was deleted in the CRM is created again if its key is given.

    Example: expansion crm retry acc_00042
    """
    from data.errors import DeliveryError
    from serving.delivery.status import requeue_rejected

    engine, target_name = options.open_crm_queue(config, name)
    count = requeue_rejected(engine, target_name, keys)
    if keys and not count:
        raise DeliveryError(
            f"no object with key(s) {', '.join(keys[:3])} is desired in {target_name!r};"
            " `expansion crm rejected` lists rejected objects."
        )
    if as_json:
        terminal.print_json({"crm": target_name, "requeued": count})
    else:
        delivery_summary.print_requeued(count)


@crm.command()
@click.argument("run", type=click.IntRange(1))
@_add_options
def undo(run: int, config: Path, name: str | None, as_json: bool) -> None:
    """Restore the CRM fields to their values before a run; nothing is deleted.

    Later changes by humans or other runs stay. Objects created by the run are marked "withdrawn".

    Example: expansion crm undo 12
    """
    from serving.delivery.reconcile import rollback, sender

    settings, now = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    with _open_target(settings, name) as target:
        result = rollback.roll_back_run(engine, target.name, run)
        seconds = 60 * settings.crm.max_minutes
        summary = sender.send_pending(engine, target, now=now, run_id=-run, budget_seconds=seconds)
    if as_json:
        terminal.print_json({"crm": target.name, **asdict(result), "sent": summary.to_dict()})
    else:
        delivery_summary.print_rollback(result)
        delivery_summary.print_sync_summary(target.name, summary, dry_run=False)


@contextmanager
def _open_target(settings: Settings, name: str | None) -> Iterator[CrmTarget]:
    """Open a CRM until the block ends; convert its errors to one sentence."""
    from data.errors import DeliveryError
    from serving.delivery.crm import registry
    from serving.delivery.crm.base import AccessDeniedError, RetryableError

    with closing(registry.open_target(settings, name)) as target:
        try:
            yield target
        except (AccessDeniedError, RetryableError) as error:
            raise DeliveryError(f"request to the CRM {target.name!r} failed: {error}") from error

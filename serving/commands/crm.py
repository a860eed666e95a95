"""Commands about the delivery to the CRM: prepare it, send, look, take back."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from serving.commands import options

if TYPE_CHECKING:
    from serving.outbox.sent import Planned

__all__ = ["crm"]


@click.group()
def crm() -> None:
    """Deliver the list to the CRM, and see what became of it."""


@crm.command()
@options.config
@options.crm
@options.as_json
def check(config: Path, name: str | None, as_json: bool) -> None:
    """Look, without writing, whether the CRM is ready: key, rights, fields, matching accounts.

    Example: expansion crm check --crm odoo
    """
    from data import sources
    from serving import console
    from serving.crm import targets
    from serving.crm.target import Denied, Ref, Transient

    settings, now = options.opened(config)
    rows = sources.read(settings, now).accounts.rows.select("account_id", "crm_id").iter_rows()
    refs = [Ref("account", account, account, crm_id=crm_id) for account, crm_id in rows]
    with closing(targets.open_target(settings, name)) as target:
        try:
            findings = target.check(refs)
        except (Denied, Transient) as error:
            raise options.refused(target.name, error) from error
        if as_json:
            console.emit({"crm": target.name, "findings": [asdict(each) for each in findings]})
        else:
            console.findings(target.name, findings)
    if not all(finding.well for finding in findings):
        raise click.exceptions.Exit(1)


@crm.command()
@options.config
@options.crm
@options.as_json
def setup(config: Path, name: str | None, as_json: bool) -> None:
    """Make fields, unique keys and pipeline in the CRM where they are missing; safe to repeat.

    Example: expansion crm setup --crm odoo
    """
    from serving import console
    from serving.crm import targets
    from serving.crm.target import Denied, Transient

    settings, _ = options.opened(config)
    with closing(targets.open_target(settings, name)) as target:
        try:
            made = target.setup()
        except (Denied, Transient) as error:
            raise options.refused(target.name, error) from error
        if as_json:
            console.emit({"crm": target.name, "made": made})
        else:
            console.made(target.name, made)


@crm.command()
@options.config
@options.crm
@click.option("--dry-run", is_flag=True, help="Print field by field what would change; no writes.")
@click.option("--full", is_flag=True, help="Look at every object, not only at what differs.")
@click.option(
    "--top", type=click.IntRange(0), default=20, show_default=True, help="Objects to print."
)
@options.as_json
def send(
    config: Path, name: str | None, dry_run: bool, full: bool, top: int, as_json: bool
) -> None:
    """Send what the CRM does not know yet. Safe to repeat, and to kill.

    Example: expansion crm send --dry-run
    """
    from serving import console
    from serving.crm import targets
    from serving.outbox import preview, sender

    settings, now = options.opened(config)
    engine = options.database(settings)
    shown: list[Planned] = []

    def tell(planned: Planned) -> None:
        if len(shown) < top:
            shown.append(planned)

    seconds = 60 * settings.crm.max_minutes
    with closing(targets.open_target(settings, name)) as target:
        if dry_run:
            sent = preview.preview(engine, target, full=full, tell=tell, budget_seconds=seconds)
        else:
            sent = sender.send(
                engine,
                target,
                now=now,
                full=full,
                tell=tell,
                budget_seconds=seconds,
                max_writes=settings.crm.max_writes,
            )
    if as_json:
        objects = [asdict(each) for each in shown]
        console.emit({"crm": target.name, "dry_run": dry_run, **sent.told(), "objects": objects})
    else:
        if dry_run:
            console.differences(shown, sent)
        console.sent(target.name, sent, dry_run=dry_run)


@crm.command()
@options.config
@options.crm
@options.as_json
def status(config: Path, name: str | None, as_json: bool) -> None:
    """Tell what waits, what was refused, and how the last sendings went.

    Example: expansion crm status
    """
    from serving import console
    from serving.crm import targets
    from serving.outbox import standing

    settings, _ = options.opened(config)
    told = standing.status(options.database(settings), targets.named(settings, name))
    if as_json:
        console.emit(told)
    else:
        console.standing(told)


@crm.command()
@options.config
@options.crm
@options.as_json
def rejected(config: Path, name: str | None, as_json: bool) -> None:
    """List what the CRM will not take, with its own words.

    Example: expansion crm rejected
    """
    from serving import console
    from serving.crm import targets
    from serving.outbox import standing

    settings, _ = options.opened(config)
    wanted = targets.named(settings, name)
    rows = standing.refused(options.database(settings), wanted)
    if as_json:
        console.emit({"crm": wanted, "rejected": rows})
    else:
        console.rejected(wanted, rows)


@crm.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@options.config
@options.crm
@options.as_json
def retry(keys: tuple[str, ...], config: Path, name: str | None, as_json: bool) -> None:
    """Let the next sending try again what was refused: all of it, or some keys.

    A key of something that was deleted in the CRM is made anew.

    Example: expansion crm retry acc_00042
    """
    from data.errors import DeliveryError
    from serving import console
    from serving.crm import targets
    from serving.outbox import standing

    settings, _ = options.opened(config)
    wanted = targets.named(settings, name)
    count = standing.retry(options.database(settings), wanted, keys)
    if keys and not count:
        raise DeliveryError(
            f"nothing of the key(s) {', '.join(keys[:3])} is to be sent to {wanted!r};"
            " `expansion crm rejected` lists what was refused."
        )
    if as_json:
        console.emit({"crm": wanted, "retried": count})
    else:
        console.retried(count)


@crm.command()
@click.argument("run", type=click.IntRange(1))
@options.config
@options.crm
@options.as_json
def undo(run: int, config: Path, name: str | None, as_json: bool) -> None:
    """Put the CRM's fields back as they were before a run; nothing is deleted.

    What a human or a later run has changed since stays. What the run made is marked "withdrawn".

    Example: expansion crm undo 12
    """
    from serving import console
    from serving.crm import targets
    from serving.outbox import sender
    from serving.outbox import undo as undoing

    settings, now = options.opened(config)
    engine = options.database(settings)
    with closing(targets.open_target(settings, name)) as target:
        back = undoing.take_back(engine, target.name, run)
        seconds = 60 * settings.crm.max_minutes
        sent = sender.send(engine, target, now=now, run_id=-run, budget_seconds=seconds)
    if as_json:
        console.emit({"crm": target.name, **asdict(back), "sent": sent.told()})
    else:
        console.taken_back(back)
        console.sent(target.name, sent, dry_run=False)

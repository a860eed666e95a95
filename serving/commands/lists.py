"""Commands about the list: make it, read it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from data.errors import DeliveryError
from serving.commands import options

__all__ = ["score", "show"]


@click.command()
@options.config
@options.as_of
@click.option("--crm", help="Which CRM to write to; by default what the settings say.")
@click.option("--dry-run", is_flag=True, help="Print the list and leave the CRM untouched.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=options.table_file,
    help="Also write the list, .parquet or .csv.",
)
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Rows to print.")
@options.as_json
def score(
    config: Path,
    as_of: datetime | None,
    crm: str | None,
    dry_run: bool,
    out: Path | None,
    top: int,
    as_json: bool,
) -> None:
    """Rank every account and write the list to the CRM.

    Safe to repeat: a second run for the same day replaces the first.

    Example: expansion score --as-of 2026-06-01 --dry-run
    """
    from data import writing
    from serving import console, promises, state
    from serving import score as scoring
    from serving.crm import targets
    from serving.outbox import delivery
    from serving.state import lists
    from training import pipeline, registry

    settings, now = options.opened(config)
    name = targets.named(settings, crm)
    model = registry.serving(settings)
    with console.stages() as stage:
        tables, log = pipeline.read(settings, now=now, progress=stage)
        moment = pipeline.as_of_from(settings, log, now=now, given=as_of)
        engine = options.database(settings)
        unasked = None
        if not dry_run:
            unasked = delivery.catch_up(engine, settings, name=name, now=now)
        scored = scoring.score(
            model,
            tables,
            log,
            moment,
            settings,
            before=lists.before(engine, moment.date()),
            promised=promises.standing(engine, moment.date()),
            worked=lists.worked(engine, moment.date(), days=settings.playbook.rest_days),
            not_now=lists.not_now(engine, moment.date()),
        )
    if out is not None:
        writing.table(scored.accounts, out)
    record = {**scoring.record(scored, model, tables, log, moment), "unasked": unasked}
    if dry_run:
        sent = delivery.foresee(engine, scored, tables, moment, settings, name=name)
        record = {**record, "crm": name, "would_send": sent and sent.told()}
    else:
        done = delivery.deliver(
            engine, scored, tables, moment, settings, name=name, record=record, now=now
        )
        sent, record = done.sent, {**record, **done.told()}
    if as_json:
        console.emit({"as_of": str(moment.date()), "dry_run": dry_run, **record})
        return
    rows = scored.accounts.rows(named=True)
    horizon_days = model.model.horizon_days if model else settings.outcome.horizon_days
    console.monday_list(
        rows,
        moment.date(),
        top,
        horizon_days=horizon_days,
        basis=record["basis"],
        capacity=(record["capacity"] or {}).get("why", ""),
    )
    console.scored(record, dry_run=dry_run, where=state.place(settings.crm_url))
    if sent is not None:
        console.sent(name, sent, dry_run=dry_run)
    elif not dry_run:
        console.unsent(name, record["to_send"])


@click.command()
@click.argument("account", required=False)
@options.config
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Rows to print.")
@options.as_json
def show(account: str | None, config: Path, top: int, as_json: bool) -> None:
    """Print the list, or one account in full.

    Example: expansion show acc_00042
    """
    from serving import console
    from serving.playbook import MOTIONS
    from serving.state import lists

    settings, _ = options.opened(config)
    engine = options.database(settings)
    as_of = lists.newest(engine)
    if as_of is None:
        raise DeliveryError("there is no list yet; run `expansion score` first.")
    record = (lists.last_run(engine, as_of) or {"record": {}})["record"]
    basis, horizon = record.get("basis", ""), settings.outcome.horizon_days
    if account is None:
        rows = lists.listed(engine)
        if as_json:
            console.emit({"as_of": as_of, "basis": basis, "accounts": rows[:top]})
        else:
            told = (record.get("capacity") or {}).get("why", "")
            console.monday_list(rows, as_of, top, horizon_days=horizon, basis=basis, capacity=told)
        return
    found = lists.account(engine, account)
    if found is None:
        raise DeliveryError(
            f"the list of {as_of} knows no account {account!r}; `expansion show` prints it."
        )
    past = lists.past(engine, found["account_id"])
    if as_json:
        console.emit({**found, "past": past})
    else:
        outreach = MOTIONS[found["motion"]] if found["motion"] else ""
        console.one_account(
            found, past, record.get("bands", []), horizon_days=horizon, outreach=outreach
        )

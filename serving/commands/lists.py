"""Commands about the list: make it, read it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from data.errors import DeliveryError
from serving.commands import options

__all__ = ["score", "show"]


@click.command()
@options.config_option
@options.as_of_option
@click.option("--crm", help="Which CRM to write to; by default what the settings say.")
@click.option("--dry-run", is_flag=True, help="Print the list and leave the CRM untouched.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=options.validate_table_path,
    help="Also write the list, .parquet or .csv.",
)
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Rows to print.")
@options.json_option
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

    settings, now = options.load_settings_and_time(config)
    name = targets.resolve_target_name(settings, crm)
    model = registry.load_for_scoring(settings)
    with console.show_progress() as stage:
        tables, log = pipeline.load_data(settings, now=now, progress=stage)
        moment = pipeline.resolve_as_of(settings, log, now=now, requested=as_of)
        engine = options.open_database(settings)
        activity_error = None
        if not dry_run:
            activity_error = delivery.pull_crm_activity(engine, settings, name=name, now=now)
        scored_list = scoring.score(
            model,
            tables,
            log,
            moment,
            settings,
            previous_list=lists.load_previous_list(engine, moment.date()),
            previous_dates=promises.load_last_communicated_dates(engine, moment.date()),
            recent_touches=lists.load_recent_touches(
                engine, moment.date(), days=settings.playbook.cooldown_days
            ),
            snoozed_until=lists.load_snoozes(engine, moment.date()),
        )
    if out is not None:
        writing.write_table(scored_list.accounts, out)
    record = {
        **scoring.build_run_record(scored_list, model, tables, log, moment),
        "unasked": activity_error,
    }
    if dry_run:
        sent = delivery.preview_delivery(engine, scored_list, tables, moment, settings, name=name)
        record = {**record, "crm": name, "would_send": sent and sent.to_dict()}
    else:
        done = delivery.deliver_list(
            engine, scored_list, tables, moment, settings, name=name, record=record, now=now
        )
        sent, record = done.summary, {**record, **done.to_dict()}
    if as_json:
        console.print_json({"as_of": str(moment.date()), "dry_run": dry_run, **record})
        return
    rows = scored_list.accounts.rows(named=True)
    horizon_days = model.model.horizon_days if model else settings.outcome.horizon_days
    console.print_ranked_list(
        rows,
        moment.date(),
        top,
        horizon_days=horizon_days,
        basis=record["basis"],
        capacity=(record["capacity"] or {}).get("why", ""),
    )
    console.print_run_summary(
        record, dry_run=dry_run, location=state.redact_url(settings.database_url)
    )
    if sent is not None:
        console.print_sync_summary(name, sent, dry_run=dry_run)
    elif not dry_run:
        console.print_send_hint(name, record["to_send"])


@click.command()
@click.argument("account", required=False)
@options.config_option
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Rows to print.")
@options.json_option
def show(account: str | None, config: Path, top: int, as_json: bool) -> None:
    """Print the list, or one account in full.

    Example: expansion show acc_00042
    """
    from serving import console
    from serving.playbook import MOTIONS
    from serving.state import lists

    settings, _ = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    as_of = lists.load_latest_as_of(engine)
    if as_of is None:
        raise DeliveryError("there is no list yet; run `expansion score` first.")
    record = (lists.load_last_run(engine, as_of) or {"record": {}})["record"]
    basis, horizon = record.get("basis", ""), settings.outcome.horizon_days
    if account is None:
        rows = lists.load_list_rows(engine)
        if as_json:
            console.print_json({"as_of": as_of, "basis": basis, "accounts": rows[:top]})
        else:
            capacity = (record.get("capacity") or {}).get("why", "")
            console.print_ranked_list(
                rows, as_of, top, horizon_days=horizon, basis=basis, capacity=capacity
            )
        return
    row = lists.load_account(engine, account)
    if row is None:
        raise DeliveryError(
            f"the list of {as_of} knows no account {account!r}; `expansion show` prints it."
        )
    score_history = lists.load_score_history(engine, row["account_id"])
    if as_json:
        console.print_json({**row, "past": score_history})
    else:
        outreach = MOTIONS[row["motion"]] if row["motion"] else ""
        console.print_account(
            row, score_history, record.get("bands", []), horizon_days=horizon, motion_text=outreach
        )

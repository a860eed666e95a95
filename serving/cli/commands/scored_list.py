"""Commands about the list: make it, read it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from data.errors import DeliveryError
from serving.cli.commands import options

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
    from data.io import atomic
    from serving import store
    from serving.cli import output
    from serving.delivery import service
    from serving.delivery.crm.registry import resolve_target_name
    from serving.scoring import previous_dates
    from serving.scoring import score as scoring
    from serving.store import queries
    from training import registry
    from training.pipeline import training_run

    settings, now = options.load_settings_and_time(config)
    name = resolve_target_name(settings, crm)
    model = registry.load_for_scoring(settings)
    with output.show_progress() as stage:
        tables, log = training_run.load_data(settings, now=now, progress=stage)
        moment = training_run.resolve_as_of(settings, log, now=now, requested=as_of)
        engine = options.open_database(settings)
        activity_error = None
        if not dry_run:
            activity_error = service.pull_crm_activity(engine, settings, name=name, now=now)
        scored_list = scoring.score(
            model,
            tables,
            log,
            moment,
            settings,
            previous_list=queries.load_previous_list(engine, moment.date()),
            previous_dates=previous_dates.load_last_communicated_dates(engine, moment.date()),
            recent_touches=queries.load_recent_touches(
                engine, moment.date(), days=settings.playbook.cooldown_days
            ),
            snoozed_until=queries.load_snoozes(engine, moment.date()),
        )
    if out is not None:
        atomic.write_table(scored_list.accounts, out)
    record = {
        **scoring.build_run_record(scored_list, model, tables, log, moment),
        "unasked": activity_error,
    }
    if dry_run:
        sent = service.preview_delivery(engine, scored_list, tables, moment, settings, name=name)
        record = {**record, "crm": name, "would_send": sent and sent.to_dict()}
    else:
        done = service.deliver_list(
            engine, scored_list, tables, moment, settings, name=name, record=record, now=now
        )
        sent, record = done.summary, {**record, **done.to_dict()}
    if as_json:
        output.print_json({"as_of": str(moment.date()), "dry_run": dry_run, **record})
        return
    rows = scored_list.accounts.rows(named=True)
    horizon_days = model.model.horizon_days if model else settings.outcome.horizon_days
    output.print_ranked_list(
        rows,
        moment.date(),
        top,
        horizon_days=horizon_days,
        basis=record["basis"],
        capacity=(record["capacity"] or {}).get("why", ""),
    )
    output.print_run_summary(
        record, dry_run=dry_run, location=store.redact_url(settings.database_url)
    )
    if sent is not None:
        output.print_sync_summary(name, sent, dry_run=dry_run)
    elif not dry_run:
        output.print_send_hint(name, record["to_send"])


@click.command()
@click.argument("account", required=False)
@options.config_option
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Rows to print.")
@options.json_option
def show(account: str | None, config: Path, top: int, as_json: bool) -> None:
    """Print the list, or one account in full.

    Example: expansion show acc_00042
    """
    from serving.cli import output
    from serving.scoring.playbook import MOTIONS
    from serving.store import queries

    settings, _ = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    as_of = queries.load_latest_as_of(engine)
    if as_of is None:
        raise DeliveryError("there is no list yet; run `expansion score` first.")
    record = (queries.load_last_run(engine, as_of) or {"record": {}})["record"]
    basis, horizon = record.get("basis", ""), settings.outcome.horizon_days
    if account is None:
        rows = queries.load_list_rows(engine)
        if as_json:
            output.print_json({"as_of": as_of, "basis": basis, "accounts": rows[:top]})
        else:
            capacity = (record.get("capacity") or {}).get("why", "")
            output.print_ranked_list(
                rows, as_of, top, horizon_days=horizon, basis=basis, capacity=capacity
            )
        return
    row = queries.load_account(engine, account)
    if row is None:
        raise DeliveryError(
            f"the list of {as_of} knows no account {account!r}; `expansion show` prints it."
        )
    score_history = queries.load_score_history(engine, row["account_id"])
    if as_json:
        output.print_json({**row, "past": score_history})
    else:
        outreach = MOTIONS[row["motion"]] if row["motion"] else ""
        output.print_account(
            row, score_history, record.get("bands", []), horizon_days=horizon, motion_text=outreach
        )

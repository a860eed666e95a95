"""The `score` and `show` commands: create a ranked list, and print it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from data.errors import DeliveryError
from serving.cli.commands import options
from serving.cli.output import delivery_summary, ranked_list, terminal

__all__ = ["score", "show"]


@click.command()
@options.config_option
@options.as_of_option
@click.option("--crm", help="CRM to write to; by default the configured one.")
@click.option("--dry-run", is_flag=True, help="Print the list without writing to the CRM.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=options.validate_table_path,
    help="Also write the list to a .parquet or .csv file.",
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
    from serving.delivery import service
    from serving.delivery.crm.registry import resolve_target_name
    from serving.scoring import list_history
    from serving.scoring import score as scoring
    from training import registry

    settings, now = options.load_settings_and_time(config)
    name = resolve_target_name(settings, crm)
    model = registry.load_for_scoring(settings)
    with terminal.show_progress() as progress:
        tables, log, moment = options.load_data(settings, now, as_of, progress)
        day = moment.date()
        engine = options.open_database(settings)
        human_touches, activity_error = None, None
        if not dry_run:
            human_touches, activity_error = service.pull_crm_activity(
                engine, settings, name=name, now=now
            )
        history = list_history.load_list_history(
            engine, day, known_before=day, cooldown_days=settings.playbook.cooldown_days
        )
        scored_list = scoring.score(model, tables, log, moment, settings, history=history)
    if out is not None:
        atomic.write_table(scored_list.accounts, out)
    record = {
        **scoring.build_run_record(scored_list, model, tables, log, moment),
        "activity_error": activity_error,
    }
    if dry_run:
        summary = service.preview_delivery(engine, scored_list, moment, settings, name=name)
        record = {**record, "crm": name, "planned_changes": summary and summary.to_dict()}
    else:
        result = service.deliver_list(
            engine,
            scored_list,
            tables,
            moment,
            settings,
            name=name,
            record=record,
            now=now,
            human_touches=human_touches,
        )
        summary, record = result.summary, {**record, **result.to_dict()}
    if as_json:
        terminal.print_json({"as_of": str(day), "dry_run": dry_run, **record})
        return
    ranked_list.print_ranked_list(
        scored_list.accounts.rows(named=True),
        day,
        top,
        horizon_days=model.model.horizon_days if model else settings.outcome.horizon_days,
        basis=record["basis"],
        capacity=(record["capacity"] or {}).get("explanation", ""),
    )
    ranked_list.print_run_summary(
        record, dry_run=dry_run, location=store.redact_url(settings.database_url)
    )
    if summary is not None:
        delivery_summary.print_sync_summary(name, summary, dry_run=dry_run)
    elif not dry_run:
        delivery_summary.print_send_hint(name, record["pending"])


@click.command()
@click.argument("account", required=False)
@options.config_option
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Rows to print.")
@options.json_option
def show(account: str | None, config: Path, top: int, as_json: bool) -> None:
    """Print the list, or one account in full.

    Example: expansion show acc_00042
    """
    from serving.scoring.playbook import MOTIONS
    from serving.store import queries

    settings, _ = options.load_settings_and_time(config)
    engine = options.open_database(settings)
    as_of = options.load_latest_as_of(engine)
    record = queries.load_run_record(engine, as_of)
    basis, horizon = record.get("basis", ""), settings.outcome.horizon_days
    if account is None:
        rows = queries.load_list_rows(engine)
        if as_json:
            terminal.print_json({"as_of": as_of, "basis": basis, "accounts": rows[:top]})
        else:
            capacity = (record.get("capacity") or {}).get("explanation", "")
            ranked_list.print_ranked_list(
                rows, as_of, top, horizon_days=horizon, basis=basis, capacity=capacity
            )
        return
    row = queries.load_account(engine, account)
    if row is None:
        raise DeliveryError(
            f"no account {account!r} on the list of {as_of}; `expansion show` prints the list."
        )
    score_history = queries.load_score_history(engine, row["account_id"])
    if as_json:
        terminal.print_json({**row, "score_history": score_history})
    else:
        motion = MOTIONS[row["motion"]] if row["motion"] else ""
        ranked_list.print_account(
            row, score_history, record.get("bands", []), horizon_days=horizon, motion=motion
        )

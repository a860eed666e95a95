"""The `simulate`, `check` and `features` commands."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from serving.cli.commands import options
from serving.cli.output import data_report, terminal

__all__ = ["check", "features", "simulate"]


@click.command()
@click.option(
    "--accounts", type=click.IntRange(1), default=400, show_default=True, help="Number of accounts."
)
@click.option(
    "--months", type=click.IntRange(1), default=30, show_default=True, help="Months of history."
)
@click.option("--seed", type=click.IntRange(0), default=7, show_default=True, help="Random seed.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Output folder.")
@click.option(
    "--malformed-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Share of malformed rows to add.",
)
@options.json_option
def simulate(
    accounts: int, months: int, seed: int, out: Path, malformed_share: float, as_json: bool
) -> None:
    """Simulate a company whose true drivers of expansion are known.

    Example: expansion simulate --accounts 400 --months 30 --seed 7 --out data/local/demo
    """
    from data import simulator

    with terminal.show_progress() as progress:
        company = simulator.write_company(
            out,
            accounts=accounts,
            months=months,
            seed=seed,
            corruption=malformed_share,
            progress=lambda done, total: progress("simulate", done, total),
        )
    if as_json:
        terminal.print_json(asdict(company))
    else:
        terminal.print_line(
            f"{company.accounts:,} accounts, {company.events:,} events from {company.first_day} to"
            f" {company.last_day}, {company.expansions:,} expansions; settings in"
            f" {out / 'expansion.toml'}"
        )


@click.command()
@options.config_option
@options.as_of_option
@options.json_option
def check(config: Path, as_of: datetime | None, as_json: bool) -> None:
    """Load the configured tables and report their data quality.

    Example: expansion check -c data/local/demo/expansion.toml
    """
    from training.data_quality.report import check_data_quality

    settings, now = options.load_settings_and_time(config)
    with terminal.show_progress() as progress:
        tables, log, moment = options.load_data(settings, now, as_of, progress)
    report = check_data_quality(tables, log, moment, settings)
    if as_json:
        terminal.print_json(asdict(report))
    else:
        data_report.print_data_report(report)


@click.command()
@options.config_option
@options.as_of_option
@click.option(
    "--months",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of as-of dates, 30 days apart.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=options.validate_table_path,
    help="File to write, .parquet or .csv.",
)
@click.option("--rebuild", is_flag=True, help="Read the whole log again and ignore the cache.")
@click.option("--describe", is_flag=True, help="Print the feature catalogue; reads no data.")
@click.option(
    "--reason-templates",
    "reason_templates_shown",
    is_flag=True,
    help="Print the reason templates, for customization.",
)
@options.json_option
def features(
    config: Path,
    as_of: datetime | None,
    months: int,
    out: Path | None,
    rebuild: bool,
    describe: bool,
    reason_templates_shown: bool,
    as_json: bool,
) -> None:
    """Write the features of every eligible account, or describe them.

    Example: expansion features --as-of 2026-06-01 --months 12 --out panel.parquet
    """
    from features.catalogue import docs, reason_templates

    if describe and as_json:
        terminal.print_json({"features": docs.describe_features()})
    elif describe:
        click.echo(docs.render_markdown(), nl=False)
    elif reason_templates_shown and as_json:
        terminal.print_json({"reason_templates": reason_templates.load_default()})
    elif reason_templates_shown:
        click.echo(reason_templates.read_text(), nl=False)
    elif out is None:
        raise click.UsageError("pass a file with --out, or --describe to print the catalogue.")
    else:
        _write_features(config, as_of, months, out, rebuild=rebuild, as_json=as_json)


def _write_features(
    config: Path,
    as_of: datetime | None,
    months: int,
    out: Path,
    *,
    rebuild: bool,
    as_json: bool,
) -> None:
    from datetime import timedelta

    from data.config.settings import MONTH_DAYS
    from data.io import atomic
    from features.panel import builder

    settings, now = options.load_settings_and_time(config)
    with terminal.show_progress() as progress:
        tables, log, moment = options.load_data(settings, now, as_of, progress, rebuild=rebuild)
        as_ofs = [moment - timedelta(days=MONTH_DAYS * back) for back in range(months)]
        built = builder.build_panel(
            log,
            tables,
            as_ofs,
            settings,
            progress=lambda done, total: progress("features", done, total),
        )
    atomic.write_table(built.snapshots, out)
    excluded = dict(built.excluded["reason"].value_counts().sort("reason").iter_rows())
    if as_json:
        terminal.print_json(
            {"out": str(out), "snapshots": built.snapshots.height, "excluded": excluded}
        )
    else:
        terminal.print_line(f"{built!r}\nwritten to {out}")

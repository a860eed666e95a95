"""Commands about the data: make some up, check it, write its features."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click

from serving.commands import options

__all__ = ["check", "features", "simulate"]


@click.command()
@click.option(
    "--accounts", type=click.IntRange(1), default=400, show_default=True, help="Customers to have."
)
@click.option(
    "--months", type=click.IntRange(1), default=30, show_default=True, help="Months of history."
)
@click.option(
    "--seed", type=click.IntRange(0), default=7, show_default=True, help="Same seed, same company."
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write.")
@click.option(
    "--dirt", type=click.FloatRange(0, 1), default=0.0, help="Share of malformed rows to add."
)
@options.as_json
def simulate(accounts: int, months: int, seed: int, out: Path, dirt: float, as_json: bool) -> None:
    """Make up a company whose true drivers of expansion are known.

    Example: expansion simulate --accounts 400 --months 30 --seed 7 --out data/local/demo
    """
    from data import simulator
    from serving import console

    with console.stages() as stage:
        made = simulator.write(
            out,
            accounts=accounts,
            months=months,
            seed=seed,
            dirt=dirt,
            progress=lambda done, total: stage("simulate", done, total),
        )
    if as_json:
        console.emit(asdict(made))
        return
    console.out.print(
        f"{made.accounts:,} accounts, {made.events:,} events from {made.first_day} to"
        f" {made.last_day}, {made.expansions:,} expansions; settings in {out / 'expansion.toml'}",
        highlight=False,
        markup=False,
    )


@click.command()
@options.config
@options.as_of
@options.as_json
def check(config: Path, as_of: datetime | None, as_json: bool) -> None:
    """Read the configured tables and say what they are fit for.

    Example: expansion check -c data/local/demo/expansion.toml
    """
    from serving import checkup, console
    from training import pipeline

    settings, now = options.opened(config)
    with console.stages() as stage:
        tables, log = pipeline.read(settings, now=now, progress=stage)
    moment = pipeline.as_of_from(settings, log, now=now, given=as_of)
    report = checkup.check(tables, log, moment, settings)
    if as_json:
        console.emit(asdict(report))
    else:
        console.checkup(report)


@click.command()
@options.config
@options.as_of
@click.option(
    "--months", type=click.IntRange(1), default=1, show_default=True, help="30-day as-ofs back."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=options.table_file,
    help="File to write, .parquet or .csv.",
)
@click.option("--rebuild", is_flag=True, help="Read the whole log again, whatever is kept of it.")
@click.option("--describe", is_flag=True, help="Print the catalogue instead; reads no data.")
@click.option(
    "--sentences", is_flag=True, help="Print the sentences of the reasons, to reword them."
)
@options.as_json
def features(
    config: Path,
    as_of: datetime | None,
    months: int,
    out: Path | None,
    rebuild: bool,
    describe: bool,
    sentences: bool,
    as_json: bool,
) -> None:
    """Write the features of every eligible account, or describe them.

    Example: expansion features --as-of 2026-06-01 --months 12 --out panel.parquet
    """
    if describe:
        _describe(as_json)
    elif sentences:
        _sentences(as_json)
    elif out is None:
        raise click.UsageError("name a file with --out, or ask for the catalogue with --describe.")
    else:
        _write_features(config, as_of, months, out, rebuild=rebuild, as_json=as_json)


def _describe(as_json: bool) -> None:
    from features.catalogue import page
    from serving import console

    if as_json:
        console.emit({"features": page.rows()})
    else:
        click.echo(page.markdown(), nl=False)


def _sentences(as_json: bool) -> None:
    from features.catalogue import sentences
    from serving import console

    if as_json:
        console.emit({"sentences": sentences.default()})
    else:
        click.echo(sentences.text(), nl=False)


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

    from data import writing
    from data.settings import MONTH_DAYS
    from features import panel
    from serving import console
    from training import pipeline

    settings, now = options.opened(config)
    with console.stages() as stage:
        tables, log = pipeline.read(settings, now=now, rebuild=rebuild, progress=stage)
        moment = pipeline.as_of_from(settings, log, now=now, given=as_of)
        as_ofs = [moment - timedelta(days=MONTH_DAYS * back) for back in range(months)]
        built = panel.build(
            log,
            tables,
            as_ofs,
            settings,
            progress=lambda done, total: stage("features", done, total),
        )
    writing.table(built.snapshots, out)
    excluded = dict(built.excluded["reason"].value_counts().sort("reason").iter_rows())
    if as_json:
        console.emit({"out": str(out), "snapshots": built.snapshots.height, "excluded": excluded})
    else:
        console.out.print(f"{built!r}\nwritten to {out}", highlight=False, markup=False)

"""One command per job. Each opens only the doors it needs, so that ``--help`` answers at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from data.errors import DeliveryError, ExpansionError

if TYPE_CHECKING:
    from data.settings import Settings

__all__ = ["main"]

Command = Callable[..., Any]


class _OneLineErrors(click.Group):
    """An error that a user can put right is one line and exit code 1, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader of a pipe has seen enough; click leaves in silence
        except (ExpansionError, OSError) as error:
            raise click.ClickException(" ".join(str(error).split())) from error


def _config(command: Command) -> Command:
    return click.option(
        "-c",
        "--config",
        type=click.Path(path_type=Path),
        default=Path("expansion.toml"),
        show_default=True,
        help="The settings file.",
    )(command)


def _table_file(ctx: click.Context, param: click.Parameter, file: Path | None) -> Path | None:  # noqa: ARG001
    """Refuse a file we could not write before the work, not after it."""
    from data import writing

    if file is not None:
        writing.check_ending(file)
    return file


def _json(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")(
        command
    )


def _as_of(command: Command) -> Command:
    return click.option(
        "--as-of",
        type=click.DateTime(["%Y-%m-%d"]),
        default=None,
        help="Start of this day, UTC; by default what the settings say, else today.",
    )(command)


@click.group(cls=_OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="expansion-propensity")
def main() -> None:
    """Which accounts will expand within 60 days, why, and from which date to talk."""


@main.command()
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
@_json
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


@main.command()
@_config
@_as_of
@_json
def check(config: Path, as_of: datetime | None, as_json: bool) -> None:
    """Read the configured tables and say what they are fit for.

    Example: expansion check -c data/local/demo/expansion.toml
    """
    from serving import checkup, console
    from training import pipeline

    settings, now = _opened(config)
    with console.stages() as stage:
        tables, log = pipeline.read(settings, now=now, progress=stage)
    moment = pipeline.as_of_from(settings, log, now=now, given=as_of)
    report = checkup.check(tables, log, moment, settings)
    if as_json:
        console.emit(asdict(report))
    else:
        console.checkup(report)


@main.command()
@_config
@_as_of
@click.option(
    "--months", type=click.IntRange(1), default=1, show_default=True, help="30-day as-ofs back."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=_table_file,
    help="File to write, .parquet or .csv.",
)
@click.option("--rebuild", is_flag=True, help="Read the whole log again, whatever is kept of it.")
@click.option("--describe", is_flag=True, help="Print the catalogue instead; reads no data.")
@_json
def features(
    config: Path,
    as_of: datetime | None,
    months: int,
    out: Path | None,
    rebuild: bool,
    describe: bool,
    as_json: bool,
) -> None:
    """Write the features of every eligible account, or describe them.

    Example: expansion features --as-of 2026-06-01 --months 12 --out panel.parquet
    """
    if describe:
        _describe(as_json)
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

    settings, now = _opened(config)
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


@main.command()
@_config
@_as_of
@click.option(
    "--trials",
    type=click.IntRange(1),
    help="Search the model's settings first, with so many trials in all; goes on where it stopped.",
)
@_json
def train(config: Path, as_of: datetime | None, trials: int | None, as_json: bool) -> None:
    """Train a model, judge it on the company's own past, and register it.

    With --trials the settings of the model are searched first, on what was known before anything
    that it is judged by; they stay as they stand unless others are better beyond noise.

    Example: expansion train -c data/local/demo/expansion.toml
    """
    from serving import console
    from training import pipeline, record, registry

    settings, now = _opened(config)
    registry.ready(settings)
    if trials is not None:
        from training import search

        search.ready(settings)
    with console.stages() as stage:
        past = _history(settings, now, as_of, stage)
        found = _searched(past, settings, trials, stage)
        settings = settings if found is None else found.settings
        trained = pipeline.train(past, settings, progress=stage)
    walked = trained.evaluation
    shown = record.of(trained, past, settings)
    if found is not None:
        trained, shown = found.noted(trained, shown)
    version = registry.register(
        trained.model, settings, about=trained.about, record=shown, churn=trained.churn.model
    )
    if as_json:
        console.emit({"version": version, **trained.about})
        return
    if walked is None:
        console.out.print(trained.about["verdict"], highlight=False)
    else:
        console.evaluated(walked)
    console.out.print(trained.churn.note, highlight=False)
    if found is not None:
        console.out.print(found.about["why"], highlight=False)
    console.out.print(
        f"Registered as version {version} of {settings.registry.model!r}: {trained.model!r}",
        highlight=False,
    )


@main.command()
@_config
@_as_of
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    callback=_table_file,
    help="Write every prediction beside every simple ranking, .parquet or .csv.",
)
@click.option(
    "--controls", is_flag=True, help="Also tell what logins, tickets and NPS would have added."
)
@_json
def evaluate(
    config: Path, as_of: datetime | None, predictions: Path | None, controls: bool, as_json: bool
) -> None:
    """Walk forward through the history: the model beside the simple rankings.

    Example: expansion evaluate --predictions predictions.parquet
    """
    from data import writing
    from serving import console
    from training import pipeline

    settings, now = _opened(config)
    with console.stages() as stage:
        past = _history(settings, now, as_of, stage)
        walked = pipeline.evaluation(past, settings, progress=stage)
        added = _added(past, settings, walked, stage) if controls else {}
    if predictions is not None:
        writing.table(walked.predictions, predictions)
    if as_json:
        figures = {
            ranking: {name: asdict(figure) for name, figure in found.items()}
            for ranking, found in walked.figures.items()
        }
        dates = {name: asdict(figure) for name, figure in walked.date_figures.items()}
        skipped = {str(cut): reason for cut, reason in walked.skipped.items()}
        told = {"figures": figures, "date_figures": dates, "bands": walked.bands}
        told |= {"skipped": skipped}
        if controls:
            told["controls"] = {name: asdict(figure) for name, figure in added.items()}
        console.emit({"verdict": walked.verdict(), **told})
    else:
        console.evaluated(walked)
        console.controls(added)


@main.command(name="explain-exclusion")
@click.argument("account")
@_config
@_as_of
@_json
def explain_exclusion(account: str, config: Path, as_of: datetime | None, as_json: bool) -> None:
    """Say of every as-of whether an account was trained on, and why not.

    Example: expansion explain-exclusion acc_00042
    """
    from serving import console
    from training import exclusion

    settings, now = _opened(config)
    with console.stages() as stage:
        past = _history(settings, now, as_of, stage)
    explained = exclusion.explain(past, settings, account)
    if as_json:
        console.emit({"account_id": account, "as_ofs": explained.rows(named=True)})
    else:
        console.exclusion(account, exclusion.stretches(explained).rows(named=True))


@main.command()
@_config
@_as_of
@click.option("--crm", help="Which CRM to write to; by default what the settings say.")
@click.option("--dry-run", is_flag=True, help="Print the list and leave the CRM untouched.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    callback=_table_file,
    help="Also write the list, .parquet or .csv.",
)
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Rows to print.")
@_json
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
    from serving import console
    from serving import score as scoring
    from serving.crm import sql
    from training import pipeline, registry

    settings, now = _opened(config)
    if crm not in {None, settings.crm.name}:
        raise DeliveryError(f"no CRM named {crm!r}; this version writes to: {settings.crm.name}.")
    champion = registry.load(settings)
    with console.stages() as stage:
        tables, log = pipeline.read(settings, now=now, progress=stage)
        moment = pipeline.as_of_from(settings, log, now=now, given=as_of)
        scored = scoring.score(champion, tables, log, moment, settings)
    if out is not None:
        writing.table(scored.accounts, out)
    record = scoring.record(scored, champion, tables, log, moment)
    if not dry_run:
        target = sql.connect(settings.crm_url)
        written = target.write(scored, moment.date(), record=record, finished_at=now)
        record = {**record, "written": asdict(written)}
    if as_json:
        console.emit({"as_of": str(moment.date()), "dry_run": dry_run, **record})
        return
    rows, horizon_days = scored.accounts.rows(named=True), champion.model.horizon_days
    console.monday_list(rows, moment.date(), top, horizon_days=horizon_days)
    console.scored(record, dry_run=dry_run, where=sql.place(settings.crm_url))


@main.command()
@click.argument("account", required=False)
@_config
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Rows to print.")
@_json
def show(account: str | None, config: Path, top: int, as_json: bool) -> None:
    """Print the list, or one account in full, from the embedded CRM.

    Example: expansion show acc_00042
    """
    from serving import console
    from serving.crm import sql
    from serving.playbook import MOTIONS

    settings, _ = _opened(config)
    crm = sql.connect(settings.crm_url)
    as_of = crm.newest()
    if as_of is None:
        raise DeliveryError("the CRM holds no list yet; run `expansion score` first.")
    if account is None:
        rows = crm.listed()
        if as_json:
            console.emit({"as_of": as_of, "accounts": rows[:top]})
        else:
            console.monday_list(rows, as_of, top, horizon_days=settings.outcome.horizon_days)
        return
    found = crm.account(account)
    if found is None:
        raise DeliveryError(
            f"the CRM holds no account {account!r}; `expansion show` lists those it holds."
        )
    past = crm.past(found["account_id"])
    if as_json:
        console.emit({**found, "past": past})
    else:
        horizon, motion = settings.outcome.horizon_days, found["motion"]
        outreach = MOTIONS[motion] if motion else ""
        bands = (crm.last_run() or {"record": {}})["record"].get("bands", [])
        console.one_account(found, past, bands, horizon_days=horizon, outreach=outreach)


def _searched(past: Any, settings: Settings, trials: int | None, stage: Any) -> Any:  # noqa: ANN401
    if trials is None:
        return None
    from data.errors import ModelError
    from serving import console
    from training import registry, search

    try:
        champion = registry.load(settings).card
    except ModelError:  # none yet, or one of another version
        champion = None
    return search.run(
        past, settings, trials=trials, champion=champion, progress=stage, say=console.say
    )


def _added(past: Any, settings: Settings, walked: Any, stage: Any) -> Any:  # noqa: ANN401
    from training import ablation

    return ablation.controls(
        past, settings, walked, progress=lambda done, total: stage("with controls", done, total)
    )


def _opened(config: Path) -> tuple[Settings, datetime]:
    """Read the settings and, once, the clock."""
    from data import settings

    return settings.load(config), datetime.now(UTC)


def _history(settings: Settings, now: datetime, as_of: datetime | None, stage: Any) -> Any:  # noqa: ANN401
    from training import pipeline

    tables, log = pipeline.read(settings, now=now, progress=stage)
    moment = pipeline.as_of_from(settings, log, now=now, given=as_of)
    return pipeline.history(settings, tables, log, moment, progress=stage)

"""Commands about the model: train it, judge it, ask what it learned from."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serving.commands import options

if TYPE_CHECKING:
    from data.settings import Settings

__all__ = ["evaluate", "explain_exclusion", "train"]


@click.command()
@options.config
@options.as_of
@click.option(
    "--trials",
    type=click.IntRange(1),
    help="Search the model's settings first, with so many trials in all; goes on where it stopped.",
)
@click.option(
    "--promote/--no-promote",
    default=True,
    show_default=True,
    help="Make it the champion if it passes the gate, or let it wait as the challenger.",
)
@options.as_json
def train(
    config: Path, as_of: datetime | None, trials: int | None, promote: bool, as_json: bool
) -> None:
    """Train a model, judge it on the company's own past, and promote it if it passes the gate.

    With --trials the settings of the model are searched first, on what was known before anything
    that it is judged by; they stay as they stand unless others are better beyond noise.

    Example: expansion train -c data/local/demo/expansion.toml
    """
    from serving import console
    from training import pipeline, record, registry, team

    settings, now = options.opened(config)
    champion = registry.champion(settings)
    if trials is not None:
        from training import search

        search.ready(settings)
    with console.stages() as stage:
        past = options.history(settings, now, as_of, stage)
        settings = team.staffed(settings, past.tables.accounts.rows)
        found = _searched(past, settings, trials, champion, stage)
        settings = settings if found is None else found.settings
        trained = pipeline.train(past, settings, champion=champion, progress=stage)
    walked = trained.evaluation
    shown = record.of(trained, past, settings)
    if found is not None:
        trained, shown = found.noted(trained, shown)
    version = registry.register(
        trained.model,
        settings,
        about=trained.about,
        record=shown,
        churn=trained.churn.model,
        simple=trained.simple,
    )
    if promote and trained.ruling.passes:
        registry.promote(settings)
    stands = registry.parts(settings)
    if as_json:
        console.emit({"version": version, **trained.about, "registry": asdict(stands)})
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
    console.ruled(trained.ruling, trained.simple.ranking, version, stands)


@click.command()
@options.config
@options.as_of
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    callback=options.table_file,
    help="Write every prediction beside every ranking and learner, .parquet or .csv.",
)
@click.option(
    "--controls", is_flag=True, help="Also tell what logins, tickets and NPS would have added."
)
@options.html
@options.as_json
def evaluate(
    config: Path,
    as_of: datetime | None,
    predictions: Path | None,
    controls: bool,
    page: Path | None,
    as_json: bool,
) -> None:
    """Walk forward through the history: the model beside simple rankings and plain learners.

    The JSON object holds verdict, capacity, figures (the model's and those of the rankings),
    learners, date_figures, by_cut, segments, lift, bands, over_best_simple and over_simple
    (precision at capacity less that of the best in hindsight, and of those that each cut would have
    chosen), power, champion, answers (what humans said of the lists, and what the contracts showed
    then), notes and skipped. A figure is value, low and high; null where it cannot be computed.

    Example: expansion evaluate --predictions predictions.parquet --html evaluation.html
    """
    from data import writing
    from serving import console
    from training import pipeline, team

    settings, now = options.opened(config)
    with console.stages() as stage:
        past = options.history(settings, now, as_of, stage)
        capacity = team.capacity(settings, past.tables.accounts.rows)
        settings = team.staffed(settings, past.tables.accounts.rows)
        judged: list[Any] = []
        walked = pipeline.evaluation(
            past, settings, progress=stage, told=lambda *last: judged.append(last)
        )
        beside = _beside(past, settings, walked, stage)
        added = _added(past, settings, walked, stage) if controls else {}
    said, unread = _answers(past, settings)
    if predictions is not None:
        writing.table(walked.predictions, predictions)
    if page is not None:
        from serving.report import evaluation as report

        text = report.html(walked, past, judged[-1], champion=beside, controls=added, answers=said)
        writing.atomically(page, lambda draft: draft.write_text(text, encoding="utf-8"))
    if as_json:
        told = walked.told() | {"capacity": asdict(capacity), "answers": said}
        told["notes"] += unread
        told["champion"] = None if beside is None else asdict(beside)
        if controls:
            told["controls"] = {name: asdict(figure) for name, figure in added.items()}
        console.emit(told)
    else:
        console.evaluated(walked)
        console.judged(walked, capacity.why, beside)
        console.controls(added)
        console.answers(said, unread)


@click.command(name="explain-exclusion")
@click.argument("account")
@options.config
@options.as_of
@options.as_json
def explain_exclusion(account: str, config: Path, as_of: datetime | None, as_json: bool) -> None:
    """Say of every as-of whether an account was trained on, and why not.

    Example: expansion explain-exclusion acc_00042
    """
    from serving import console
    from training import exclusion

    settings, now = options.opened(config)
    with console.stages() as stage:
        past = options.history(settings, now, as_of, stage)
    explained = exclusion.explain(past, settings, account)
    if as_json:
        console.emit({"account_id": account, "as_ofs": explained.rows(named=True)})
    else:
        console.exclusion(account, exclusion.stretches(explained).rows(named=True))


def _searched(
    past: Any,  # noqa: ANN401
    settings: Settings,
    trials: int | None,
    champion: Any,  # noqa: ANN401
    stage: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    if trials is None:
        return None
    from serving import console
    from training import search

    card = None if champion is None else champion.card
    return search.run(past, settings, trials=trials, champion=card, progress=stage, say=console.say)


def _beside(past: Any, settings: Settings, walked: Any, stage: Any) -> Any:  # noqa: ANN401
    """The champion beside the model; None where no model was ever registered."""
    kept_here = settings.registry.tracking_uri is None
    if kept_here and not (settings.state_folder / "mlflow.db").exists():
        return None
    from data.errors import ModelError
    from training import beside, registry, rival

    try:
        champion = registry.champion(settings)
    except ModelError as error:
        return beside.Beside(f"The champion is left out of the comparison: {error}")
    if champion is None:
        return None
    theirs = rival.walk(
        champion,
        walked.predictions,
        past.panel.snapshots,
        past.contracts,
        settings,
        end=past.as_of,
        progress=lambda done, total: stage("champion", done, total),
    )
    return beside.champion(walked, theirs, settings)


def _answers(past: Any, settings: Settings) -> tuple[list[dict[str, Any]], list[str]]:  # noqa: ANN401
    """What humans said of the lists, where there are any; or why that could not be read."""
    from data.errors import DeliveryError
    from serving import answers, state

    try:
        if not state.is_there(settings.crm_url):
            return [], []
        said = answers.kept(options.database(settings))
    except DeliveryError as error:
        return [], [f"What humans said of the lists is left out: {error}"]
    return answers.judged(said, past.contracts, settings, end=past.as_of), []


def _added(past: Any, settings: Settings, walked: Any, stage: Any) -> Any:  # noqa: ANN401
    from training import ablation

    return ablation.controls(
        past, settings, walked, progress=lambda done, total: stage("with controls", done, total)
    )

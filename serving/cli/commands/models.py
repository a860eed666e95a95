"""The commands of models: `train`, `evaluate`, `explain-exclusion`, `promote` and `rollback`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serving.cli.commands import options
from serving.cli.output import evaluation_tables, terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from data.config.settings import Settings
    from training.evaluation.evaluate import EvaluationResult
    from training.metrics.cluster_bootstrap import MetricEstimate
    from training.pipeline.training_run import TrainingHistory
    from training.promotion.champion import ChampionComparison
    from training.registry import Promotion

__all__ = ["evaluate", "explain_exclusion", "promote", "rollback", "train"]


@click.command()
@options.config_option
@options.as_of_option
@click.option(
    "--trials",
    type=click.IntRange(1),
    help="Tune hyper-parameters first, up to this total number of trials; resumable.",
)
@click.option(
    "--promote/--no-promote",
    default=True,
    show_default=True,
    help="Promote the model if it passes the gate, or keep it as the challenger.",
)
@options.json_option
def train(
    config: Path, as_of: datetime | None, trials: int | None, promote: bool, as_json: bool
) -> None:
    """Train a model, evaluate it on the company's history, and promote it if it passes the gate.

    With --trials, hyper-parameters are tuned first, on data before the evaluation period. The
    current ones are kept unless others are better beyond noise.

    Example: expansion train -c data/local/demo/expansion.toml
    """
    from training import registry
    from training.pipeline import training_run
    from training.registry.run_record import build_run_record
    from training.rules import team_capacity

    settings, now = options.load_settings_and_time(config)
    champion = registry.find_champion(settings)
    if trials is not None:
        from training.tuning import search

        search.check_storage(settings)
    search_result = None
    with terminal.show_progress() as progress:
        history = options.build_history(settings, now, as_of, progress)
        settings = team_capacity.apply_team_capacity(settings, history.tables.accounts.rows)
        if trials is not None:
            search_result = search.run_search(
                history,
                settings,
                trials=trials,
                champion=champion.card if champion else None,
                progress=progress,
                notify=terminal.print_status,
            )
            settings = search_result.settings
        result = training_run.train(history, settings, champion=champion, progress=progress)
    run_record = build_run_record(result, history, settings)
    if search_result is not None:
        result, run_record = search_result.annotate_run(result, run_record)
    version = registry.register_model(
        result.model,
        settings,
        metadata=result.card,
        record=run_record,
        churn_model=result.churn.model,
        fallback=result.fallback,
    )
    if promote and result.gate_decision.passes:
        registry.promote(settings)
    aliases = registry.get_aliases(settings)
    if as_json:
        terminal.print_json({"version": version, **result.card, "registry": asdict(aliases)})
        return
    if result.evaluation is None:
        terminal.print_line(result.card["verdict"])
    else:
        evaluation_tables.print_evaluation(result.evaluation)
    terminal.print_line(result.churn.note)
    if search_result is not None:
        terminal.print_line(search_result.summary["reason"])
    terminal.print_line(
        f"Registered as version {version} of {settings.registry.model!r}: {result.model!r}"
    )
    evaluation_tables.print_gate_decision(
        result.gate_decision, result.fallback.ranking, version, aliases
    )


@click.command()
@options.config_option
@options.as_of_option
@click.option(
    "--predictions",
    type=click.Path(path_type=Path),
    callback=options.validate_table_path,
    help="Write the predictions of all models and baselines, .parquet or .csv.",
)
@click.option(
    "--controls", is_flag=True, help="Also evaluate the effect of adding logins, tickets and NPS."
)
@options.html_option
@options.json_option
def evaluate(
    config: Path,
    as_of: datetime | None,
    predictions: Path | None,
    controls: bool,
    page: Path | None,
    as_json: bool,
) -> None:
    """Run walk-forward validation: the model against baselines and reference models.

    The JSON object holds verdict, capacity, metrics (of the model and the baselines),
    reference_models, date_metrics, by_cutoff, segments, lift, bands,
    precision_gain_over_best_baseline (in hindsight), precision_gain_over_selected_baseline
    (selected at each cutoff), power, champion, answers (CSM feedback and contract outcomes), notes
    and skipped. A metric has value, low and high; null where it cannot be computed.

    Example: expansion evaluate --predictions predictions.parquet --html evaluation.html
    """
    from data.io import atomic
    from training.pipeline import ablation, training_run
    from training.rules import team_capacity

    settings, now = options.load_settings_and_time(config)
    control_gains: Mapping[str, MetricEstimate] = {}
    with terminal.show_progress() as progress:
        history = options.build_history(settings, now, as_of, progress)
        capacity = team_capacity.resolve_capacity(settings, history.tables.accounts.rows)
        settings = team_capacity.apply_team_capacity(settings, history.tables.accounts.rows)
        fold_models: list[Any] = []
        evaluation = training_run.evaluate_history(
            history, settings, progress=progress, on_fold=lambda *last: fold_models.append(last)
        )
        comparison = _compare_with_champion(history, settings, evaluation, progress)
        if controls:
            control_gains = ablation.evaluate_controls(
                history,
                settings,
                evaluation,
                progress=lambda done, total: progress("with controls", done, total),
            )
    feedback, feedback_errors = _load_feedback_outcomes(history, settings)
    if predictions is not None:
        atomic.write_table(evaluation.predictions, predictions)
    if page is not None:
        from training.report import evaluation_page

        text = evaluation_page.render_evaluation_page(
            evaluation,
            history,
            fold_models[-1],
            comparison=comparison,
            control_gains=control_gains,
            feedback=feedback,
        )
        options.write_page(page, text)
    if as_json:
        payload = evaluation.to_dict() | {"capacity": asdict(capacity), "feedback": feedback}
        payload["notes"] += feedback_errors
        payload["champion"] = None if comparison is None else asdict(comparison)
        if controls:
            payload["controls"] = {name: asdict(figure) for name, figure in control_gains.items()}
        terminal.print_json(payload)
        return
    evaluation_tables.print_evaluation(evaluation)
    evaluation_tables.print_evaluation_details(evaluation, capacity.explanation, comparison)
    evaluation_tables.print_control_features(control_gains)
    evaluation_tables.print_feedback_outcomes(feedback, feedback_errors)


@click.command(name="explain-exclusion")
@click.argument("account")
@options.config_option
@options.as_of_option
@options.json_option
def explain_exclusion(account: str, config: Path, as_of: datetime | None, as_json: bool) -> None:
    """List for every as-of date whether an account was used for training, and why not.

    Example: expansion explain-exclusion acc_00042
    """
    from training.data_quality.exclusions import explain_exclusions, merge_consecutive

    settings, now = options.load_settings_and_time(config)
    with terminal.show_progress() as progress:
        history = options.build_history(settings, now, as_of, progress)
    exclusions = explain_exclusions(history, settings, account)
    if as_json:
        terminal.print_json({"account_id": account, "as_ofs": exclusions.rows(named=True)})
    else:
        evaluation_tables.print_exclusions(account, merge_consecutive(exclusions).rows(named=True))


@click.command()
@options.config_option
@click.option(
    "--force", metavar="REASON", help="Promote despite the gate decision; requires a reason."
)
@options.json_option
def promote(config: Path, force: str | None, as_json: bool) -> None:
    """Promote the challenger to champion, if it passed the gate.

    The next list uses it. The user, time and reason are stored with the version.

    Example: expansion promote --force "agreed with sales for the pilot"
    """
    from training import registry

    settings, _ = options.load_settings_and_time(config)
    _print_promotion(registry.promote(settings, force=force), as_json=as_json)


@click.command()
@options.config_option
@options.json_option
def rollback(config: Path, as_json: bool) -> None:
    """Restore the previous champion; a second rollback undoes the first.

    Example: expansion rollback -c data/local/demo/expansion.toml
    """
    from training import registry

    settings, _ = options.load_settings_and_time(config)
    _print_promotion(registry.rollback(settings), as_json=as_json)


def _print_promotion(promotion: Promotion, *, as_json: bool) -> None:

    if as_json:
        terminal.print_json(asdict(promotion))
    else:
        evaluation_tables.print_promotion(promotion)


def _compare_with_champion(
    history: TrainingHistory,
    settings: Settings,
    evaluation: EvaluationResult,
    progress: Any,  # noqa: ANN401
) -> ChampionComparison | None:
    """Compare the model with the champion; None if no model was ever registered."""
    is_local_registry = settings.registry.tracking_uri is None
    if is_local_registry and not (settings.state_folder / "mlflow.db").exists():
        return None
    from data.errors import ModelError
    from training import registry
    from training.promotion.champion import (
        ChampionComparison,
        backtest_champion,
        compare_with_champion,
    )

    try:
        champion = registry.find_champion(settings)
    except ModelError as error:
        return ChampionComparison(f"The champion is excluded from the comparison: {error}")
    if champion is None:
        return None
    champion_predictions = backtest_champion(
        champion,
        evaluation.predictions,
        history.panel.snapshots,
        history.contracts,
        settings,
        end=history.as_of,
        progress=lambda done, total: progress("champion", done, total),
    )
    return compare_with_champion(evaluation, champion_predictions, settings)


def _load_feedback_outcomes(
    history: TrainingHistory, settings: Settings
) -> tuple[list[dict[str, Any]], list[str]]:
    """Load CSM feedback with contract outcomes, or the reason why it cannot be read."""
    from data.errors import DeliveryError
    from serving import store
    from serving.monitoring import feedback_report

    try:
        if not store.database_exists(settings.database_url):
            return [], []
        feedback = feedback_report.load_feedback(options.open_database(settings))
    except DeliveryError as error:
        return [], [f"CSM feedback is omitted: {error}"]
    return feedback_report.compare_feedback_with_outcomes(
        feedback, history.contracts, settings.outcome, end=history.as_of
    ), []

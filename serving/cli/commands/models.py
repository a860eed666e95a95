"""The `train`, `evaluate` and `explain-exclusion` commands."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from serving.cli.commands import options

if TYPE_CHECKING:
    from data.config.settings import Settings

__all__ = ["evaluate", "explain_exclusion", "train"]


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
    from serving.cli import output
    from training import registry
    from training.pipeline import training_run
    from training.registry.run_record import build_run_record
    from training.rules import team_capacity

    settings, now = options.load_settings_and_time(config)
    champion = registry.find_champion(settings)
    if trials is not None:
        from training.tuning import search

        search.check_storage(settings)
    with output.show_progress() as progress:
        history = options.build_history(settings, now, as_of, progress)
        settings = team_capacity.apply_team_capacity(settings, history.tables.accounts.rows)
        search_result = _search_hyperparameters(history, settings, trials, champion, progress)
        settings = settings if search_result is None else search_result.settings
        training_result = training_run.train(
            history, settings, champion=champion, progress=progress
        )
    evaluation = training_result.evaluation
    run_record = build_run_record(training_result, history, settings)
    if search_result is not None:
        training_result, run_record = search_result.annotate_run(training_result, run_record)
    version = registry.register_model(
        training_result.model,
        settings,
        metadata=training_result.card,
        record=run_record,
        churn_model=training_result.churn.model,
        fallback=training_result.fallback,
    )
    if promote and training_result.gate_decision.passes:
        registry.promote(settings)
    aliases = registry.get_aliases(settings)
    if as_json:
        output.print_json({"version": version, **training_result.card, "registry": asdict(aliases)})
        return
    if evaluation is None:
        output.stdout.print(training_result.card["verdict"], highlight=False)
    else:
        output.print_evaluation(evaluation)
    output.stdout.print(training_result.churn.note, highlight=False)
    if search_result is not None:
        output.stdout.print(search_result.summary["reason"], highlight=False)
    output.stdout.print(
        f"Registered as version {version} of {settings.registry.model!r}:"
        f" {training_result.model!r}",
        highlight=False,
    )
    output.print_gate_decision(
        training_result.gate_decision, training_result.fallback.ranking, version, aliases
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
    from serving.cli import output
    from training.pipeline import training_run
    from training.rules import team_capacity

    settings, now = options.load_settings_and_time(config)
    with output.show_progress() as progress:
        history = options.build_history(settings, now, as_of, progress)
        capacity = team_capacity.resolve_capacity(settings, history.tables.accounts.rows)
        settings = team_capacity.apply_team_capacity(settings, history.tables.accounts.rows)
        fold_models: list[Any] = []
        evaluation = training_run.evaluate_history(
            history, settings, progress=progress, on_fold=lambda *last: fold_models.append(last)
        )
        comparison = _compare_with_champion(history, settings, evaluation, progress)
        control_gains = (
            _evaluate_controls(history, settings, evaluation, progress) if controls else {}
        )
    feedback, feedback_errors = _load_feedback_outcomes(history, settings)
    if predictions is not None:
        atomic.write_table(evaluation.predictions, predictions)
    if page is not None:
        from training.report import evaluation_page as report

        text = report.render_evaluation_page(
            evaluation,
            history,
            fold_models[-1],
            comparison=comparison,
            control_gains=control_gains,
            feedback=feedback,
        )
        atomic.atomic_write(page, lambda draft: draft.write_text(text, encoding="utf-8"))
    if as_json:
        payload = evaluation.to_dict() | {"capacity": asdict(capacity), "feedback": feedback}
        payload["notes"] += feedback_errors
        payload["champion"] = None if comparison is None else asdict(comparison)
        if controls:
            payload["controls"] = {name: asdict(figure) for name, figure in control_gains.items()}
        output.print_json(payload)
    else:
        output.print_evaluation(evaluation)
        output.print_evaluation_details(evaluation, capacity.explanation, comparison)
        output.print_control_features(control_gains)
        output.print_feedback_outcomes(feedback, feedback_errors)


@click.command(name="explain-exclusion")
@click.argument("account")
@options.config_option
@options.as_of_option
@options.json_option
def explain_exclusion(account: str, config: Path, as_of: datetime | None, as_json: bool) -> None:
    """List for every as-of date whether an account was used for training, and why not.

    Example: expansion explain-exclusion acc_00042
    """
    from serving.cli import output
    from training.data_quality.exclusions import explain_exclusions, merge_consecutive

    settings, now = options.load_settings_and_time(config)
    with output.show_progress() as progress:
        history = options.build_history(settings, now, as_of, progress)
    exclusions = explain_exclusions(history, settings, account)
    if as_json:
        output.print_json({"account_id": account, "as_ofs": exclusions.rows(named=True)})
    else:
        output.print_exclusions(account, merge_consecutive(exclusions).rows(named=True))


def _search_hyperparameters(
    history: Any,  # noqa: ANN401
    settings: Settings,
    trials: int | None,
    champion: Any,  # noqa: ANN401
    progress: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    if trials is None:
        return None
    from serving.cli import output
    from training.tuning import search

    card = None if champion is None else champion.card
    return search.run_search(
        history,
        settings,
        trials=trials,
        champion=card,
        progress=progress,
        notify=output.print_status,
    )


def _compare_with_champion(history: Any, settings: Settings, evaluation: Any, progress: Any) -> Any:  # noqa: ANN401
    """Compare the model with the champion; None if no model was ever registered."""
    is_local_registry = settings.registry.tracking_uri is None
    if is_local_registry and not (settings.state_folder / "mlflow.db").exists():
        return None
    from data.errors import ModelError
    from training import registry
    from training.promotion import champion_comparison
    from training.promotion.champion import backtest_champion

    try:
        champion = registry.find_champion(settings)
    except ModelError as error:
        return champion_comparison.ChampionComparison(
            f"The champion is excluded from the comparison: {error}"
        )
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
    return champion_comparison.compare_with_champion(evaluation, champion_predictions, settings)


def _load_feedback_outcomes(
    history: Any,  # noqa: ANN401
    settings: Settings,
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
        feedback, history.contracts, settings, end=history.as_of
    ), []


def _evaluate_controls(history: Any, settings: Settings, evaluation: Any, progress: Any) -> Any:  # noqa: ANN401
    from training.pipeline import ablation

    return ablation.evaluate_controls(
        history,
        settings,
        evaluation,
        progress=lambda done, total: progress("with controls", done, total),
    )

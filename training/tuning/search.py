"""Hyper-parameter search on data known before the first walk-forward cutoff.

Each trial has its own seed, so that a resumed search gives the same result as an uninterrupted one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import optuna
from optuna.pruners import MedianPruner
from optuna.trial import Trial, TrialState
from pydantic import ValidationError

from data.config.settings import ModelConfig, Settings
from data.errors import HistoryError, SearchError
from training.evaluation import splits
from training.tuning import cv_objective, search_space, study_store
from training.tuning.cv_objective import InnerCV

if TYPE_CHECKING:
    from training.pipeline.training_run import TrainingHistory, TrainingResult
    from training.registry.run_record import RunRecord

__all__ = ["SearchResult", "build_initial_trials", "check_storage", "run_search"]

_STARTUP_TRIALS: Final = 6  # random trials before the sampler starts
_PRUNER_STARTUP_TRIALS: Final = 5
_ACCOUNT_LOSSES: Final = "account_losses"
_FOLD_LOSSES: Final = "fold_losses"

ProgressCallback = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SearchResult:
    """Settings with the selected hyper-parameters.

    The summary holds JSON values for the card, under ``search``: the selected trial and the reason,
    the number of trials, and their losses.
    """

    settings: Settings
    summary: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"SearchResult({self.summary['reason']!r})"

    def annotate_run(
        self, trained: TrainingResult, record: RunRecord
    ) -> tuple[TrainingResult, RunRecord]:
        """Add the search result to a training result and its run record."""
        summary = self.summary
        metrics = {f"search/{n}": value for n, value in summary.items() if isinstance(value, float)}
        annotated = replace(
            record,
            note=f"{record.note}\n\n{summary['reason']}",
            parameters={**record.parameters, "search.trials": summary["trials"]},
            overall_metrics={**record.overall_metrics, **metrics},
            tags={**record.tags, "search": summary["reason"]},
            files={**record.files, "search.json": json.dumps(summary, indent=2)},
        )
        return replace(trained, card={**trained.card, "search": summary}), annotated


def check_storage(settings: Settings) -> None:
    """Check that trials can be stored, before any work is done.

    Raises
    ------
    data.errors.SearchError
        If they cannot.
    """
    with study_store.open_storage(settings):
        pass


def run_search(
    history: TrainingHistory,
    settings: Settings,
    *,
    trials: int,
    champion: Mapping[str, Any] | None = None,
    progress: ProgressCallback | None = None,
    notify: Callable[[str], object] = lambda _: None,
) -> SearchResult:
    """Run trials up to a total and select one by the one-standard-error rule.

    Only data known at the first walk-forward cutoff is used, so that the metrics of the model
    belong to settings selected before. The loss is
    :func:`training.tuning.cv_objective.compute_account_losses`, the selection
    :func:`training.tuning.search_space.select_by_one_standard_error`.

    The total of trials includes those of an earlier run of the same search. The first is the
    model's settings, the result where the history is too short to compare any; the second is the
    settings on the champion's card. ``notify`` is called with a sentence when stored trials are
    resumed, or cannot be.

    Raises
    ------
    data.errors.SearchError
        If the search was interrupted, or its trials cannot be stored.
    """
    end = _resolve_end(history, settings)
    try:
        inner_cv = cv_objective.build_inner_cv(
            history.panel.snapshots,
            history.contracts,
            end=end,
            rules=settings.outcome,
            horizons_days=search_space.select_horizons(settings.model),
        )
    except HistoryError as error:
        reason = f"The settings are unchanged and were not searched: {error}"
        return SearchResult(settings, {"reason": reason, "trials": 0, "unchanged": True})
    with study_store.open_storage(settings) as storage:
        study = study_store.load_or_create_study(
            storage,
            history.as_of,
            inner_cv,
            settings.model,
            initial_trials=build_initial_trials(settings.model, champion),
            pruner=MedianPruner(n_startup_trials=_PRUNER_STARTUP_TRIALS),
            notify=notify,
        )
        _run_trials(
            study, inner_cv, settings.model, trials=trials, as_of=history.as_of, progress=progress
        )
        return _select_result(study, inner_cv, settings, end)


def _resolve_end(history: TrainingHistory, settings: Settings) -> datetime:
    """Return the first walk-forward cutoff, else the as-of."""
    rules = settings.evaluation
    days = history.panel.snapshots["as_of"].unique().to_list()
    plan = splits.split_walk_forward(days, first=rules.first_as_of, refit_months=rules.refit_months)
    return min([history.as_of, *(split.cutoff for split in plan)])


def build_initial_trials(
    model: ModelConfig, champion: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Return the current settings, then the champion's where they differ."""
    initial_trials = [search_space.clip_settings(model)]
    try:
        champion_values = search_space.clip_settings(ModelConfig(**(champion or {})["settings"]))
    except (KeyError, TypeError, ValidationError):  # the champion's version had other settings
        return initial_trials
    return (
        initial_trials if champion_values in initial_trials else [*initial_trials, champion_values]
    )


def _run_trials(
    study: optuna.Study,
    inner_cv: InnerCV,
    current: ModelConfig,
    *,
    trials: int,
    as_of: datetime,
    progress: ProgressCallback | None,
) -> None:
    """Run trials until the total is reached."""
    n_finished = len(study_store.list_finished_trials(study))
    try:
        while n_finished < trials:
            if progress:
                progress("search", n_finished, trials)
            trial = _ask_trial(study, n_finished, current.seed)
            try:
                _evaluate_trial(study, trial, inner_cv, current)
            except BaseException:  # an interrupted trial does not count
                study.tell(trial, state=TrialState.FAIL)
                raise
            n_finished = len(study_store.list_finished_trials(study))
    except KeyboardInterrupt:
        raise SearchError(
            f"the search was interrupted after {n_finished} of {trials} trials, and nothing was"
            f" registered; the same command with --as-of {as_of:%Y-%m-%d} resumes it."
        ) from None
    if progress:
        progress("search", trials, trials)


def _ask_trial(study: optuna.Study, n_finished: int, seed: int) -> Trial:
    """Start the next trial; its seed depends only on the number of finished trials."""
    trial_seed = int(np.random.SeedSequence([seed, n_finished]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(
        seed=trial_seed, n_startup_trials=_STARTUP_TRIALS, constant_liar=False
    )
    initial_trials = study.user_attrs[study_store.INITIAL_TRIALS]
    if n_finished < len(initial_trials) and not study.get_trials(states=(TrialState.WAITING,)):
        study.enqueue_trial(initial_trials[n_finished])
    return study.ask({**search_space.RANGES})


def _evaluate_trial(
    study: optuna.Study, trial: Trial, inner_cv: InnerCV, current: ModelConfig
) -> None:
    """Evaluate a trial fold by fold; prune it where it is worse than the median of the others."""
    reference_losses = [
        loss
        for reference in study_store.list_finished_trials(study)[:1]
        for loss in reference.user_attrs[_FOLD_LOSSES]
    ]
    model = search_space.apply_values(current, trial.params)
    if not reference_losses:  # the current settings unchanged, even outside the search space
        model = current
    fold_losses: list[np.ndarray] = []
    for step, fold in enumerate(inner_cv.folds):
        fold_losses.append(cv_objective.compute_account_losses(fold, inner_cv, model))
        # Relative to the current settings, so that a difficult fold does not look like a bad trial.
        excess_losses = [
            float(losses.sum()) - reference
            for losses, reference in zip(fold_losses, reference_losses, strict=False)
        ]
        trial.report(float(np.mean(excess_losses)) if excess_losses else 0.0, step)
        if step + 1 < len(inner_cv.folds) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return
    account_losses = np.mean(fold_losses, axis=0)
    trial.set_user_attr(_FOLD_LOSSES, [float(losses.sum()) for losses in fold_losses])
    trial.set_user_attr(_ACCOUNT_LOSSES, account_losses.tolist())
    study.tell(trial, float(account_losses.sum()))


def _select_result(
    study: optuna.Study, inner_cv: InnerCV, settings: Settings, end: datetime
) -> SearchResult:
    finished = study_store.list_finished_trials(study)
    complete = [index for index, trial in enumerate(finished) if trial.state == TrialState.COMPLETE]
    account_losses = [np.array(finished[index].user_attrs[_ACCOUNT_LOSSES]) for index in complete]
    distances = [
        search_space.compute_distance(finished[index].params, finished[0].params) if index else 0.0
        for index in complete
    ]
    selected = search_space.select_by_one_standard_error(account_losses, distances)
    totals = [float(losses.sum()) for losses in account_losses]
    best = int(np.argmin(totals))
    gain, error = search_space.compute_paired_gain(account_losses[0], account_losses[best])
    model = settings.model
    if complete[selected]:
        model = search_space.apply_values(model, finished[complete[selected]].params)
    summary = {
        "trials": len(finished),
        "pruned": len(finished) - len(complete),
        "unchanged": complete[selected] == 0,
        "selected": complete[selected] + 1,
        "loss": totals[selected],
        "reference_loss": totals[0],
        "best": complete[best] + 1,
        "best_loss": totals[best],
        "best_gain": gain,
        "best_gain_standard_error": error,
        "best_settings": finished[complete[best]].params,
        "cutoff": f"{end:%Y-%m-%d}",
        "cutoffs": [str(fold.cutoff) for fold in inner_cv.folds],
        "skipped_cutoffs": {str(cutoff): reason for cutoff, reason in inner_cv.skipped.items()},
        "study": study.study_name,
    }
    return SearchResult(
        settings.model_copy(update={"model": model}),
        {"reason": search_space.summarize_selection(summary), **summary},
    )

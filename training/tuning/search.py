"""Search the model's settings on what was known before anything that the model is judged by.

The n-th trial draws with a seed of its own, so that a search that was stopped and gone on with ends
as if it had not been stopped.
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
from training.tuning import cv_objective, search_space, selection, study_store
from training.tuning.cv_objective import InnerCV

if TYPE_CHECKING:
    from training.pipeline.training_run import TrainingHistory, TrainingResult
    from training.registry.run_record import RunRecord

__all__ = ["SearchResult", "check_storage", "run_search"]

_STARTUP_TRIALS: Final = 6  # trials before the sampler learns from them
_PRUNER_STARTUP_TRIALS: Final = 5
_ACCOUNT_LOSSES: Final = "account_losses"
_FOLD_LOSSES: Final = "fold_losses"

ProgressCallback = Callable[[str, int, int], None]


@dataclass(frozen=True)
class SearchResult:
    """What a search came to.

    Attributes
    ----------
    settings : data.config.settings.Settings
        With the model's settings that were chosen.
    summary : mapping
        JSON values for the card, under ``search``: which trial was taken and why, how many there
        were, and what they lost.
    """

    settings: Settings
    summary: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Found({self.summary['why']!r})"

    def annotate_run(
        self, trained: TrainingResult, record: RunRecord
    ) -> tuple[TrainingResult, RunRecord]:
        """Add what the search came to to a training and to what its run shows."""
        summary = self.summary
        metrics = {f"search/{n}": value for n, value in summary.items() if isinstance(value, float)}
        annotated = replace(
            record,
            note=f"{record.note}\n\n{summary['why']}",
            parameters={**record.parameters, "search.trials": summary["trials"]},
            overall_metrics={**record.overall_metrics, **metrics},
            tags={**record.tags, "search": summary["why"]},
            files={**record.files, "search.json": json.dumps(summary, indent=2)},
        )
        return replace(trained, card={**trained.card, "search": summary}), annotated


def check_storage(settings: Settings) -> None:
    """Make sure, before any work is done, that trials could be kept.

    Raises
    ------
    data.errors.SearchError
        If they could not.
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
    """Search until so many trials are done, and choose by the one-standard-error rule.

    Only what was known at the first cut of the walk forward is looked at, so that the figures of
    the model are those of settings chosen before. What a trial loses is told by
    :func:`training.tuning.cv_objective.compute_account_losses`, how one is chosen by :func:`training.tuning.selection.select_by_one_standard_error`.

    Parameters
    ----------
    history : training.pipeline.training_run.TrainingHistory
        Its panel is used as it is; a trial only fits.
    settings : data.config.settings.Settings
        Those of the model are the first trial.
    trials : int
        In all: those that an earlier run of the same search has done count.
    champion : mapping, optional
        The present champion's card; its settings are the second trial.
    progress : callable, optional
        Told the stage, trials done, and trials in all.
    notify : callable, optional
        Told in a sentence when kept trials are gone on with, or cannot be.

    Returns
    -------
    SearchResult
        With the settings as they stand where the history is too short to compare any.

    Raises
    ------
    data.errors.SearchError
        If the search was interrupted, or its trials cannot be kept.
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
        reason = f"The settings stay as they stand, and were not searched: {error}"
        return SearchResult(settings, {"why": reason, "trials": 0, "kept": True})
    with study_store.open_storage(settings) as storage:
        study = study_store.load_or_create_study(
            storage,
            history.as_of,
            inner_cv,
            settings,
            initial_trials=_build_initial_trials(settings.model, champion),
            pruner=MedianPruner(n_startup_trials=_PRUNER_STARTUP_TRIALS),
            notify=notify,
        )
        _run_trials(
            study, inner_cv, settings, trials=trials, as_of=history.as_of, progress=progress
        )
        return _select_result(study, inner_cv, settings, end)


def _resolve_end(history: TrainingHistory, settings: Settings) -> datetime:
    """Where the walk forward begins to judge, else the as-of."""
    rules = settings.evaluation
    days = history.panel.snapshots["as_of"].unique().to_list()
    plan = splits.walk_forward(days, first=rules.first_as_of, refit_months=rules.refit_months)
    return min([history.as_of, *(split.cutoff for split in plan)])


def _build_initial_trials(
    model: ModelConfig, champion: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """The settings as they stand, then the champion's where they are others."""
    starts = [search_space.encode_settings(model)]
    try:
        champion_values = search_space.encode_settings(ModelConfig(**(champion or {})["settings"]))
    except (KeyError, TypeError, ValidationError):  # a champion of a version with other settings
        return starts
    return starts if champion_values in starts else [*starts, champion_values]


def _run_trials(
    study: optuna.Study,
    inner_cv: InnerCV,
    settings: Settings,
    *,
    trials: int,
    as_of: datetime,
    progress: ProgressCallback | None,
) -> None:
    """Try until so many trials are done."""
    n_finished = len(study_store.list_finished_trials(study))
    try:
        while n_finished < trials:
            if progress:
                progress("search", n_finished, trials)
            _run_trial(study, inner_cv, settings, n_finished)
            n_finished = len(study_store.list_finished_trials(study))
    except KeyboardInterrupt:
        raise SearchError(
            f"the search was interrupted after {n_finished} of {trials} trials, and nothing was"
            f" registered; the same command with --as-of {as_of:%Y-%m-%d} goes on from there."
        ) from None
    if progress:
        progress("search", trials, trials)


def _run_trial(study: optuna.Study, inner_cv: InnerCV, settings: Settings, n_finished: int) -> None:
    """Do the next trial; one that is interrupted is marked as failed and does not count."""
    trial = _ask_trial(study, n_finished, settings.model.seed)
    try:
        _evaluate_trial(study, trial, inner_cv, settings)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise


def _ask_trial(study: optuna.Study, n_finished: int, seed: int) -> Trial:
    """Begin the next trial; its draws depend on the trials done, not on when they were."""
    trial_seed = int(np.random.SeedSequence([seed, n_finished]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(
        seed=trial_seed, n_startup_trials=_STARTUP_TRIALS, constant_liar=False
    )
    starts = study.user_attrs[study_store.INITIAL_TRIALS]
    if n_finished < len(starts) and not study.get_trials(states=(TrialState.WAITING,)):
        study.enqueue_trial(starts[n_finished])
    return study.ask()


def _evaluate_trial(
    study: optuna.Study, trial: Trial, inner_cv: InnerCV, settings: Settings
) -> None:
    """Judge a trial fold by fold, and give it up when it does worse than half of the others."""
    model = search_space.apply_values(settings.model, _suggest_values(trial))
    reference_losses = [
        part
        for first in study_store.list_finished_trials(study)[:1]
        for part in first.user_attrs[_FOLD_LOSSES]
    ]
    if (
        not reference_losses
    ):  # the settings exactly as they stand, also where the space does not hold them
        model = settings.model
    fold_losses: list[np.ndarray] = []
    for place, fold in enumerate(inner_cv.folds):
        fold_losses.append(cv_objective.compute_account_losses(fold, inner_cv, model))
        # Beside the settings as they stand, so that a hard fold does not look like a bad trial.
        excess_losses = [
            float(part.sum()) - past
            for part, past in zip(fold_losses, reference_losses, strict=False)
        ]
        trial.report(float(np.mean(excess_losses)) if excess_losses else 0.0, place)
        if place + 1 < len(inner_cv.folds) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return
    account_losses = np.mean(fold_losses, axis=0)
    trial.set_user_attr(_FOLD_LOSSES, [float(part.sum()) for part in fold_losses])
    trial.set_user_attr(_ACCOUNT_LOSSES, account_losses.tolist())
    study.tell(trial, float(account_losses.sum()))


def _suggest_values(trial: Trial) -> search_space.Values:
    values: dict[str, float | int] = {}
    for name, r in search_space.RANGES.items():
        if r.is_integer:
            values[name] = trial.suggest_int(name, int(r.low), int(r.high), log=r.log_scale)
        else:
            values[name] = trial.suggest_float(name, r.low, r.high, log=r.log_scale)
    return values


def _select_result(
    study: optuna.Study, inner_cv: InnerCV, settings: Settings, end: datetime
) -> SearchResult:
    finished = study_store.list_finished_trials(study)
    complete = [place for place, trial in enumerate(finished) if trial.state == TrialState.COMPLETE]
    account_losses = [np.array(finished[place].user_attrs[_ACCOUNT_LOSSES]) for place in complete]
    distances = [
        search_space.compute_distance(finished[place].params, finished[0].params)
        for place in complete
    ]
    distances = [far if place else 0.0 for place, far in zip(complete, distances, strict=True)]
    selected = selection.select_by_one_standard_error(account_losses, distances)
    totals = [float(entrant.sum()) for entrant in account_losses]
    best = int(np.argmin(totals))
    gain, error = selection.compute_paired_gain(account_losses[0], account_losses[best])
    model = settings.model
    if complete[selected]:
        model = search_space.apply_values(model, finished[complete[selected]].params)
    summary = {
        "trials": len(finished),
        "pruned": len(finished) - len(complete),
        "kept": complete[selected] == 0,
        "taken": complete[selected] + 1,
        "loss": totals[selected],
        "usual_loss": totals[0],
        "best": complete[best] + 1,
        "best_loss": totals[best],
        "best_gain": gain,
        "best_gain_standard_error": error,
        "best_settings": finished[complete[best]].params,
        "known_before": f"{end:%Y-%m-%d}",
        "cuts": [str(fold.cutoff) for fold in inner_cv.folds],
        "cuts_skipped": {str(cut): reason for cut, reason in inner_cv.skipped.items()},
        "study": study.study_name,
    }
    return SearchResult(
        settings.model_copy(update={"model": model}),
        {"why": selection.summarize_selection(summary), **summary},
    )

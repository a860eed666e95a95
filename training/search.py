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

from data.errors import HistoryError, SearchError
from data.settings import Model, Settings
from training import choice, contest, space, splits, studies
from training.contest import Contest

if TYPE_CHECKING:
    from training.pipeline import History, Trained
    from training.record import Record

__all__ = ["Found", "ready", "run"]

_RANDOM: Final = 6  # trials before the sampler learns from them
_UNPRUNED: Final = 5
_LOSSES: Final = "account_losses"
_FOLDS: Final = "fold_losses"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes
    ----------
    settings : data.settings.Settings
        With the model's settings that were chosen.
    about : mapping
        JSON values for the card, under ``search``: which trial was taken and why, how many there
        were, and what they lost.
    """

    settings: Settings
    about: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Found({self.about['why']!r})"

    def noted(self, trained: Trained, record: Record) -> tuple[Trained, Record]:
        """Add what the search came to to a training and to what its run shows."""
        about = self.about
        figures = {f"search/{n}": value for n, value in about.items() if isinstance(value, float)}
        shown = replace(
            record,
            note=f"{record.note}\n\n{about['why']}",
            parameters={**record.parameters, "search.trials": about["trials"]},
            totals={**record.totals, **figures},
            tags={**record.tags, "search": about["why"]},
            files={**record.files, "search.json": json.dumps(about, indent=2)},
        )
        return replace(trained, about={**trained.about, "search": about}), shown


def ready(settings: Settings) -> None:
    """Make sure, before any work is done, that trials could be kept.

    Raises
    ------
    data.errors.SearchError
        If they could not.
    """
    with studies.opened(settings):
        pass


def run(
    past: History,
    settings: Settings,
    *,
    trials: int,
    champion: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Found:
    """Search until so many trials are done, and choose by the one-standard-error rule.

    Only what was known at the first cut of the walk forward is looked at, so that the figures of
    the model are those of settings chosen before. What a trial loses is told by
    :func:`training.contest.losses`, how one is chosen by :func:`training.choice.choose`.

    Parameters
    ----------
    past : training.pipeline.History
        Its panel is used as it is; a trial only fits.
    settings : data.settings.Settings
        Those of the model are the first trial.
    trials : int
        In all: those that an earlier run of the same search has done count.
    champion : mapping, optional
        The present champion's card; its settings are the second trial.
    progress : callable, optional
        Told the stage, trials done, and trials in all.
    say : callable, optional
        Told in a sentence when kept trials are gone on with, or cannot be.

    Returns
    -------
    Found
        With the settings as they stand where the history is too short to compare any.

    Raises
    ------
    data.errors.SearchError
        If the search was interrupted, or its trials cannot be kept.
    """
    end = _end(past, settings)
    try:
        judged = contest.prepare(
            past.panel.snapshots,
            past.contracts,
            end=end,
            rules=settings.outcome,
            horizons_days=space.horizons(settings.model),
        )
    except HistoryError as error:
        why = f"The settings stay as they stand, and were not searched: {error}"
        return Found(settings, {"why": why, "trials": 0, "kept": True})
    with studies.opened(settings) as storage:
        study = studies.begun(
            storage,
            past.as_of,
            judged,
            settings,
            starts=_starts(settings.model, champion),
            pruner=MedianPruner(n_startup_trials=_UNPRUNED),
            say=say,
        )
        _go_on(study, judged, settings, trials=trials, as_of=past.as_of, progress=progress)
        return _concluded(study, judged, settings, end)


def _end(past: History, settings: Settings) -> datetime:
    """Where the walk forward begins to judge, else the as-of."""
    rules = settings.evaluation
    days = past.panel.snapshots["as_of"].unique().to_list()
    plan = splits.walk_forward(days, first=rules.first_as_of, refit_months=rules.refit_months)
    return min([past.as_of, *(split.cut for split in plan)])


def _starts(model: Model, champion: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The settings as they stand, then the champion's where they are others."""
    starts = [space.nearest(model)]
    try:
        best = space.nearest(Model(**(champion or {})["settings"]))
    except (KeyError, TypeError, ValidationError):  # a champion of a version with other settings
        return starts
    return starts if best in starts else [*starts, best]


def _go_on(
    study: optuna.Study,
    judged: Contest,
    settings: Settings,
    *,
    trials: int,
    as_of: datetime,
    progress: Progress | None,
) -> None:
    """Try until so many trials are done."""
    done = len(studies.done(study))
    try:
        while done < trials:
            if progress:
                progress("search", done, trials)
            _try(study, judged, settings, done)
            done = len(studies.done(study))
    except KeyboardInterrupt:
        raise SearchError(
            f"the search was interrupted after {done} of {trials} trials, and nothing was"
            f" registered; the same command with --as-of {as_of:%Y-%m-%d} goes on from there."
        ) from None
    if progress:
        progress("search", trials, trials)


def _try(study: optuna.Study, judged: Contest, settings: Settings, done: int) -> None:
    """Do the next trial; one that is interrupted is marked as failed and does not count."""
    trial = _asked(study, done, settings.model.seed)
    try:
        _judge(study, trial, judged, settings)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise


def _asked(study: optuna.Study, done: int, seed: int) -> Trial:
    """Begin the next trial; its draws depend on the trials done, not on when they were."""
    own = int(np.random.SeedSequence([seed, done]).generate_state(1)[0])
    study.sampler = optuna.samplers.TPESampler(
        seed=own, n_startup_trials=_RANDOM, constant_liar=False
    )
    starts = study.user_attrs[studies.STARTS]
    if done < len(starts) and not study.get_trials(states=(TrialState.WAITING,)):
        study.enqueue_trial(starts[done])
    return study.ask()


def _judge(study: optuna.Study, trial: Trial, judged: Contest, settings: Settings) -> None:
    """Judge a trial fold by fold, and give it up when it does worse than half of the others."""
    model = space.applied(settings.model, _suggested(trial))
    usual = [part for first in studies.done(study)[:1] for part in first.user_attrs[_FOLDS]]
    if not usual:  # the settings exactly as they stand, also where the space does not hold them
        model = settings.model
    found: list[np.ndarray] = []
    for place, fold in enumerate(judged.folds):
        found.append(contest.losses(fold, judged, model))
        # Beside the settings as they stand, so that a hard fold does not look like a bad trial.
        worse = [float(part.sum()) - past for part, past in zip(found, usual, strict=False)]
        trial.report(float(np.mean(worse)) if worse else 0.0, place)
        if place + 1 < len(judged.folds) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return
    each = np.mean(found, axis=0)
    trial.set_user_attr(_FOLDS, [float(part.sum()) for part in found])
    trial.set_user_attr(_LOSSES, each.tolist())
    study.tell(trial, float(each.sum()))


def _suggested(trial: Trial) -> space.Values:
    values: dict[str, float | int] = {}
    for name, r in space.RANGES.items():
        if r.whole:
            values[name] = trial.suggest_int(name, int(r.low), int(r.high), log=r.ratios)
        else:
            values[name] = trial.suggest_float(name, r.low, r.high, log=r.ratios)
    return values


def _concluded(study: optuna.Study, judged: Contest, settings: Settings, end: datetime) -> Found:
    done = studies.done(study)
    whole = [place for place, trial in enumerate(done) if trial.state == TrialState.COMPLETE]
    entrants = [np.array(done[place].user_attrs[_LOSSES]) for place in whole]
    distances = [space.distance(done[place].params, done[0].params) for place in whole]
    distances = [far if place else 0.0 for place, far in zip(whole, distances, strict=True)]
    taken = choice.choose(entrants, distances)
    totals = [float(entrant.sum()) for entrant in entrants]
    best = int(np.argmin(totals))
    gain, error = choice.gain(entrants[0], entrants[best])
    model = settings.model
    if whole[taken]:
        model = space.applied(model, done[whole[taken]].params)
    about = {
        "trials": len(done),
        "pruned": len(done) - len(whole),
        "kept": whole[taken] == 0,
        "taken": whole[taken] + 1,
        "loss": totals[taken],
        "usual_loss": totals[0],
        "best": whole[best] + 1,
        "best_loss": totals[best],
        "best_gain": gain,
        "best_gain_standard_error": error,
        "best_settings": done[whole[best]].params,
        "known_before": f"{end:%Y-%m-%d}",
        "cuts": [str(fold.cut) for fold in judged.folds],
        "cuts_skipped": {str(cut): reason for cut, reason in judged.skipped.items()},
        "study": study.study_name,
    }
    return Found(settings.model_copy(update={"model": model}), {"why": choice.why(about), **about})

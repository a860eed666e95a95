"""Where the trials of a search are kept, and which of them can be compared.

A study is named by all that decides what its trials lose: the as-of, the features, the data, the
settings that are not searched, the space and the versions of the learners. So a search goes on
where it was stopped, and trials of another one are never mixed in.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from typing import Final

import numpy as np
import optuna
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from data.config.settings import Settings
from data.errors import SearchError
from training.model.propensity import INPUTS
from training.tuning import search_space
from training.tuning.cv_objective import InnerCV

__all__ = ["INITIAL_TRIALS", "list_finished_trials", "load_or_create_study", "open_storage"]

INITIAL_TRIALS: Final = "starts"
_FINGERPRINT: Final = "parts"
_VERSION: Final = 3  # to be raised when the same settings on the same past would lose otherwise
_LEARNERS: Final = ("expansion-propensity", "lightgbm", "scikit-learn")
_TIMEOUT_SECONDS: Final = 30

Notify = Callable[[str], object]


@contextmanager
def open_storage(settings: Settings) -> Iterator[RDBStorage]:
    """Open the database of trials: ``search.db`` in the state folder, or the one that is named.

    Raises
    ------
    data.errors.SearchError
        If trials cannot be read from it or written to it.
    """
    # A command's answer is all that a terminal should show.
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    url = settings.registry.tuning_url or f"sqlite:///{settings.state_folder / 'search.db'}"
    try:
        storage = _connect_storage(url, settings)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, OptunaError, OSError) as error:
        raise SearchError(
            f"the trials of the search cannot be kept in {_redact_url(url)}: {_describe_error(error)}. Put that"
            " right or move it away, and run again; nothing was registered."
        ) from error


def load_or_create_study(
    storage: RDBStorage,
    as_of: datetime,
    inner_cv: InnerCV,
    settings: Settings,
    *,
    initial_trials: Sequence[search_space.Values],
    pruner: optuna.pruners.BasePruner,
    notify: Notify,
) -> optuna.Study:
    """Give the study of exactly this search, and say if it is gone on with, or others are left.

    Parameters
    ----------
    storage : optuna.storages.RDBStorage
        From :func:`open_storage`.
    as_of : datetime.datetime
        What the model is trained as of.
    inner_cv : training.tuning.cv_objective.InnerCV
        All that the trials are trained and judged on.
    settings : data.config.settings.Settings
        Those that are not searched.
    initial_trials : sequence of mapping
        What the first trials are to be; kept, so that going on begins as the search was begun.
    pruner : optuna.pruners.BasePruner
        Of the study.
    notify : callable
        Told a sentence.
    """
    fingerprint = {"as-of": f"{as_of:%Y-%m-%d}", **_compute_fingerprint(inner_cv, settings)}
    other_fingerprints = [
        kept.user_attrs.get(_FINGERPRINT, {}) for kept in optuna.get_all_study_summaries(storage)
    ]
    study = optuna.create_study(
        storage=storage,
        study_name=f"as of {as_of:%Y-%m-%d}, {_hash_parts(json.dumps(fingerprint))}",
        pruner=pruner,
        load_if_exists=True,
    )
    if INITIAL_TRIALS in study.user_attrs:
        notify(f"Trials of this search that are done already: {len(list_finished_trials(study))}.")
        return study
    for other in [
        other for other in other_fingerprints if other.get("as-of") == fingerprint["as-of"]
    ][-1:]:
        differing = " and ".join(
            part for part in fingerprint if other.get(part) != fingerprint[part]
        )
        notify(f"The trials kept for this as-of are of other {differing}: a new search is begun.")
    study.set_user_attr(_FINGERPRINT, fingerprint)
    study.set_user_attr(INITIAL_TRIALS, [dict(start) for start in initial_trials])
    return study


def list_finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Give the trials that count, in the order they were begun: not those that were interrupted."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _connect_storage(url: str, settings: Settings) -> RDBStorage:
    engine_options = {}
    if url.startswith("sqlite"):
        settings.state_folder.mkdir(parents=True, exist_ok=True)
        engine_options = {"connect_args": {"timeout": _TIMEOUT_SECONDS}}
    try:
        return RDBStorage(url, engine_kwargs=engine_options)
    except (RuntimeError, ImportError) as error:  # tables of another Optuna; a driver that lacks
        raise OSError(str(error)) from error


def _describe_error(error: BaseException) -> str:
    """The first line of what the database itself said."""
    if isinstance(error, OptunaError) and error.__cause__ is not None:
        error = error.__cause__
    text = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:200]


def _redact_url(url: str) -> str:
    """A file, or a URL without the password that it may hold."""
    return re.sub(r"//[^/@\s]*@", "//", url.removeprefix("sqlite:///"))


def _compute_fingerprint(inner_cv: InnerCV, settings: Settings) -> dict[str, str]:
    """All that decides what a trial loses, part by part."""
    model = settings.model.model_dump_json()
    versions = [version(name) for name in _LEARNERS]
    return {
        "features": _hash_parts(*INPUTS),
        "data": _hash_parts(*_iterate_bytes(inner_cv)),
        "settings": _hash_parts(model, str(inner_cv.horizon_days)),
        "search space": _hash_parts(str(_VERSION), repr(search_space.RANGES), *versions),
    }


def _iterate_bytes(inner_cv: InnerCV) -> Iterator[bytes]:
    for fold in inner_cv.folds:
        for frame in (fold.training_set.snapshots, fold.test_snapshots):
            yield "\n".join(frame["account_id"]).encode()
            yield frame.select(INPUTS).to_numpy().tobytes()
        yield fold.training_set.outcomes.write_ndjson().encode()
        yield np.stack(list(fold.labels.values())).tobytes()


def _hash_parts(*texts: str | bytes) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() if isinstance(text, str) else text)
        digest.update(b"\0\0")
    return digest.hexdigest()[:12]

"""Storage of search trials, one Optuna study per comparable search.

A study is named by everything that determines the loss of its trials: as-of, features, data, fixed
settings, search space and learner versions. An interrupted search is thus resumed, and trials of
different searches are never mixed.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
import optuna
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from data.config.settings import ModelConfig, Settings
from data.errors import SearchError
from training.model.propensity import INPUTS
from training.tuning import search_space
from training.tuning.cv_objective import InnerCV

__all__ = [
    "INITIAL_TRIALS",
    "OBJECTIVE_VERSION",
    "list_finished_trials",
    "load_or_create_study",
    "open_storage",
]

INITIAL_TRIALS: Final = "initial_trials"
_FINGERPRINT: Final = "fingerprint"
OBJECTIVE_VERSION: Final = 3  # increment when the loss of unchanged settings and data changes
_LEARNERS: Final = ("expansion-propensity", "lightgbm", "scikit-learn")
_TIMEOUT_SECONDS: Final = 30

Notify = Callable[[str], object]


@contextmanager
def open_storage(settings: Settings) -> Iterator[RDBStorage]:
    """Open the trial database: ``search.db`` in the state folder, or the configured URL.

    Raises
    ------
    data.errors.SearchError
        If trials cannot be read or written.
    """
    # Only the command's own output belongs on the terminal.
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    url = settings.registry.tuning_url or f"sqlite:///{settings.state_folder / 'search.db'}"
    try:
        storage = _connect_storage(url, settings.state_folder)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, OptunaError, OSError) as error:
        raise SearchError(
            f"the trials of the search cannot be stored in {_redact_url(url)}:"
            f" {_describe_error(error)}. Repair or move it and run again; nothing was registered."
        ) from error


def load_or_create_study(
    storage: RDBStorage,
    as_of: datetime,
    inner_cv: InnerCV,
    model: ModelConfig,
    *,
    initial_trials: Sequence[search_space.Values],
    pruner: optuna.pruners.BasePruner,
    notify: Notify,
) -> optuna.Study:
    """Load or create the study of this search, and report resumed or incompatible trials.

    The values of the initial trials are stored, so that a resumed search starts the same way.
    ``notify`` is called with a sentence.
    """
    fingerprint = {"as-of": f"{as_of:%Y-%m-%d}", **_compute_fingerprint(inner_cv, model)}
    other_fingerprints = [
        stored.user_attrs.get(_FINGERPRINT, {})
        for stored in optuna.get_all_study_summaries(storage)
    ]
    study = optuna.create_study(
        storage=storage,
        study_name=f"as of {as_of:%Y-%m-%d}, {_hash_parts(json.dumps(fingerprint))}",
        pruner=pruner,
        load_if_exists=True,
    )
    if INITIAL_TRIALS in study.user_attrs:
        notify(f"Finished trials of this search: {len(list_finished_trials(study))}.")
        return study
    for previous in [
        other for other in other_fingerprints if other.get("as-of") == fingerprint["as-of"]
    ][-1:]:
        differing = " and ".join(
            part for part in fingerprint if previous.get(part) != fingerprint[part]
        )
        notify(
            f"The stored trials of this as-of have different {differing}: starting a new search."
        )
    study.set_user_attr(_FINGERPRINT, fingerprint)
    study.set_user_attr(INITIAL_TRIALS, [dict(values) for values in initial_trials])
    return study


def list_finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count, in their order; interrupted ones do not."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _connect_storage(url: str, state_folder: Path) -> RDBStorage:
    engine_options = {}
    if url.startswith("sqlite"):
        state_folder.mkdir(parents=True, exist_ok=True)
        engine_options = {"connect_args": {"timeout": _TIMEOUT_SECONDS}}
    try:
        return RDBStorage(url, engine_kwargs=engine_options)
    # Tables of another Optuna version, or a missing driver.
    except (RuntimeError, ImportError) as error:
        raise OSError(str(error)) from error


def _describe_error(error: BaseException) -> str:
    """Return the first line of the database's own message."""
    if isinstance(error, OptunaError) and error.__cause__ is not None:
        error = error.__cause__
    text = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:200]


def _redact_url(url: str) -> str:
    """Return a file path, or a URL without its password."""
    return re.sub(r"//[^/@\s]*@", "//", url.removeprefix("sqlite:///"))


def _compute_fingerprint(inner_cv: InnerCV, model: ModelConfig) -> dict[str, str]:
    """Hash everything that determines the loss of a trial, part by part."""
    versions = [version(name) for name in _LEARNERS]
    return {
        "features": _hash_parts(*INPUTS),
        "data": _hash_parts(*_iterate_bytes(inner_cv)),
        "settings": _hash_parts(model.model_dump_json(), str(inner_cv.horizon_days)),
        "search space": _hash_parts(str(OBJECTIVE_VERSION), repr(search_space.RANGES), *versions),
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

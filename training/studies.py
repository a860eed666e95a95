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

from data.errors import SearchError
from data.settings import Settings
from training import space
from training.contest import Contest
from training.model import INPUTS

__all__ = ["STARTS", "begun", "done", "opened"]

STARTS: Final = "starts"
_PARTS: Final = "parts"
_VERSION: Final = 3  # to be raised when the same settings on the same past would lose otherwise
_LEARNERS: Final = ("expansion-propensity", "lightgbm", "scikit-learn")
_WAIT_SECONDS: Final = 30

Say = Callable[[str], object]


@contextmanager
def opened(settings: Settings) -> Iterator[RDBStorage]:
    """Open the database of trials: ``search.db`` in the state folder, or the one that is named.

    Raises
    ------
    data.errors.SearchError
        If trials cannot be read from it or written to it.
    """
    # A command's answer is all that a terminal should show.
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    url = settings.registry.search_url or f"sqlite:///{settings.state_folder / 'search.db'}"
    try:
        storage = _storage(url, settings)
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()
    except (SQLAlchemyError, OptunaError, OSError) as error:
        raise SearchError(
            f"the trials of the search cannot be kept in {_told_url(url)}: {_told(error)}. Put that"
            " right or move it away, and run again; nothing was registered."
        ) from error


def begun(
    storage: RDBStorage,
    as_of: datetime,
    judged: Contest,
    settings: Settings,
    *,
    starts: Sequence[space.Values],
    pruner: optuna.pruners.BasePruner,
    say: Say,
) -> optuna.Study:
    """Give the study of exactly this search, and say if it is gone on with, or others are left.

    Parameters
    ----------
    storage : optuna.storages.RDBStorage
        From :func:`opened`.
    as_of : datetime.datetime
        What the model is trained as of.
    judged : training.contest.Contest
        All that the trials are trained and judged on.
    settings : data.settings.Settings
        Those that are not searched.
    starts : sequence of mapping
        What the first trials are to be; kept, so that going on begins as the search was begun.
    pruner : optuna.pruners.BasePruner
        Of the study.
    say : callable
        Told a sentence.
    """
    parts = {"as-of": f"{as_of:%Y-%m-%d}", **_parts(judged, settings)}
    others = [kept.user_attrs.get(_PARTS, {}) for kept in optuna.get_all_study_summaries(storage)]
    study = optuna.create_study(
        storage=storage,
        study_name=f"as of {as_of:%Y-%m-%d}, {_digest(json.dumps(parts))}",
        pruner=pruner,
        load_if_exists=True,
    )
    if STARTS in study.user_attrs:
        say(f"Trials of this search that are done already: {len(done(study))}.")
        return study
    for other in [other for other in others if other.get("as-of") == parts["as-of"]][-1:]:
        differing = " and ".join(part for part in parts if other.get(part) != parts[part])
        say(f"The trials kept for this as-of are of other {differing}: a new search is begun.")
    study.set_user_attr(_PARTS, parts)
    study.set_user_attr(STARTS, [dict(start) for start in starts])
    return study


def done(study: optuna.Study) -> list[FrozenTrial]:
    """Give the trials that count, in the order they were begun: not those that were interrupted."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _storage(url: str, settings: Settings) -> RDBStorage:
    waiting = {}
    if url.startswith("sqlite"):
        settings.state_folder.mkdir(parents=True, exist_ok=True)
        waiting = {"connect_args": {"timeout": _WAIT_SECONDS}}
    try:
        return RDBStorage(url, engine_kwargs=waiting)
    except (RuntimeError, ImportError) as error:  # tables of another Optuna; a driver that lacks
        raise OSError(str(error)) from error


def _told(error: BaseException) -> str:
    """The first line of what the database itself said."""
    if isinstance(error, OptunaError) and error.__cause__ is not None:
        error = error.__cause__
    text = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:200]


def _told_url(url: str) -> str:
    """A file, or a URL without the password that it may hold."""
    return re.sub(r"//[^/@\s]*@", "//", url.removeprefix("sqlite:///"))


def _parts(judged: Contest, settings: Settings) -> dict[str, str]:
    """All that decides what a trial loses, part by part."""
    model = settings.model.model_dump_json()
    versions = [version(name) for name in _LEARNERS]
    return {
        "features": _digest(*INPUTS),
        "data": _digest(*_bytes(judged)),
        "settings": _digest(model, str(judged.horizon_days)),
        "search space": _digest(str(_VERSION), repr(space.RANGES), *versions),
    }


def _bytes(judged: Contest) -> Iterator[bytes]:
    for fold in judged.folds:
        for frame in (fold.known.snapshots, fold.judged):
            yield "\n".join(frame["account_id"]).encode()
            yield frame.select(INPUTS).to_numpy().tobytes()
        yield fold.known.outcomes.write_ndjson().encode()
        yield np.stack(list(fold.labels.values())).tobytes()


def _digest(*texts: str | bytes) -> str:
    found = hashlib.sha256()
    for text in texts:
        found.update(text.encode() if isinstance(text, str) else text)
        found.update(b"\0\0")
    return found.hexdigest()[:12]

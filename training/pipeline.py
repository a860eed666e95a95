"""The whole story of a model on one screen: history, fit, walk forward, calibrate, rule."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from data import contracts, sources
from data.errors import HistoryError
from data.settings import MONTH_DAYS, Settings
from features import activity, contract, panel
from features.activity import Activity
from features.panel import Panel
from training import churn, evaluate, gate, model, rival, simple, sizes, splits, team
from training.churn import Churn
from training.evaluate import Evaluation
from training.gate import Ruling
from training.model import Propensity
from training.rival import Champion
from training.simple import Simple

__all__ = [
    "History",
    "Trained",
    "as_of_from",
    "condense",
    "evaluation",
    "history",
    "read",
    "train",
]

Progress = Callable[[str, int, int], None]
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class History:
    """The tables, the daily activity, and every snapshot up to an as-of."""

    as_of: datetime
    tables: sources.Tables
    activity: Activity
    panel: Panel
    contracts: pl.DataFrame

    def __repr__(self) -> str:
        return (
            f"History(as of {self.as_of:%Y-%m-%d}: {self.panel!r}, {self.activity!r},"
            f" {self.contracts.height:,} contract rows)"
        )


@dataclass(frozen=True)
class Trained:
    """A model and what goes with it, what it was worth in the walk, and what it was made from.

    Attributes
    ----------
    model : Propensity
        Fitted on everything known.
    churn : training.churn.Churn
        The model of churn.
    simple : Simple
        The best simple ranking, to be served while no model has passed the gate.
    ruling : training.gate.Ruling
        Whether the model may be promoted.
    evaluation : training.evaluate.Evaluation or None
        The walk forward; None where the history is too short for one.
    about : mapping
        JSON values for the card.
    """

    model: Propensity
    churn: Churn
    simple: Simple
    ruling: Ruling
    evaluation: Evaluation | None
    about: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Trained({self.model!r}, {self.evaluation!r})"


def read(
    settings: Settings, *, now: datetime, rebuild: bool = False, progress: Progress | None = None
) -> tuple[sources.Tables, Activity]:
    """Read the configured tables and make the daily activity of the log, or take what is kept.

    Raises
    ------
    data.errors.ExpansionError
        If a table cannot be read, or breaks its contract in too many rows.
    """
    tables = sources.read(settings, now)
    return tables, condense(settings, tables, rebuild=rebuild, progress=progress)


def condense(
    settings: Settings,
    tables: sources.Tables,
    *,
    rebuild: bool = False,
    progress: Progress | None = None,
) -> Activity:
    """Make the daily activity of a log, or take what is kept; the tables may be frames in memory.

    Parameters
    ----------
    settings : data.settings.Settings
        Roles of events, seats, and the state folder, where the daily tables are kept.
    tables : data.sources.Tables
        From :func:`data.sources.read` or :func:`data.sources.from_frames`.
    rebuild : bool
        Read the whole log again, whatever is kept of it.
    progress : callable, optional
        Told the stage, steps done, and steps in all.

    Returns
    -------
    features.activity.Activity
        What all features are computed from, beside the small tables.

    Raises
    ------
    data.errors.ExpansionError
        If the log cannot be read, or breaks its contract in too many rows.
    """
    made = activity.build(
        tables.events,
        folder=settings.state_folder / "activity",
        roles=settings.roles,
        seats=settings.seats,
        known_at_reliable_from=settings.tables.known_at_reliable_from,
        accounts=tables.accounts.rows,
        engine=settings.engine,
        rebuild=rebuild,
        progress=_named(progress, "log"),
    )
    contracts.refuse_if_too_dirty(
        "events", made.events, made.quarantine, settings.tables.max_quarantine_share
    )
    return made


def as_of_from(
    settings: Settings, log: Activity, *, now: datetime, given: datetime | None = None
) -> datetime:
    """Decide the as-of: the one given, else the setting's day, today, or the end of the data.

    Returns
    -------
    datetime.datetime
        00:00 UTC.

    Raises
    ------
    data.errors.HistoryError
        If the one given lies in the future, or the log is empty.
    """
    if given is not None:
        # East of Greenwich it is tomorrow already.
        if given.date() > now.astimezone(UTC).date() + timedelta(days=1):
            raise HistoryError(
                f"the as-of {given:%Y-%m-%d} lies in the future, and nothing is known of it; today"
                f" is {now.astimezone(UTC):%Y-%m-%d}."
            )
        return splits.midnight(given.date())
    if settings.as_of == "today":
        return splits.midnight(now.astimezone(UTC).date())
    if settings.as_of == "data end":
        if log.last_day is None:
            raise HistoryError("the log holds no valid event; see its quarantine.")
        return splits.midnight(log.last_day + timedelta(days=1))
    return splits.midnight(settings.as_of)


def history(
    settings: Settings,
    tables: sources.Tables,
    log: Activity,
    as_of: datetime,
    *,
    progress: Progress | None = None,
) -> History:
    """Build every snapshot that may be trained on at an as-of.

    As-ofs stand 30 days apart, back from the as-of; further weekly anchors are pooled where the
    settings say so. The first days of the log, as it was known then, are left out: everyone looks
    new in them.

    Raises
    ------
    data.errors.HistoryError
        If the log is too short to hold any.
    """
    if log.first_day is None:
        raise HistoryError("the log holds no valid event; see its quarantine.")
    first = splits.midnight(log.first_day) + timedelta(days=settings.eligibility.burn_in_days)
    since = [
        moment
        for anchor in range(settings.model.weekly_anchors)
        for moment in _monthly(as_of - anchor * _WEEK, first)
    ]
    as_ofs = [
        moment
        for moment, began in zip(since, log.began(since), strict=True)
        if began and (moment.date() - began).days >= settings.eligibility.burn_in_days
    ]
    if not as_ofs:
        raise HistoryError(
            f"the log starts on {log.first_day}, and the first"
            f" {settings.eligibility.burn_in_days} days (eligibility.burn_in_days) are not trained"
            f" on: nothing is left before {as_of:%Y-%m-%d}."
        )
    built = panel.build(log, tables, as_ofs, settings, progress=_named(progress, "features"))
    terms = contract.timeline(
        tables.subscriptions.rows,
        plans=settings.outcome.plans,
        reliable_from=settings.tables.known_at_reliable_from,
    )
    return History(as_of, tables, log, built, terms)


def evaluation(
    past: History,
    settings: Settings,
    *,
    progress: Progress | None = None,
    told: Callable[[Propensity, pl.DataFrame], object] | None = None,
) -> Evaluation:
    """Walk forward through a history; see :func:`training.evaluate.walk`."""
    return evaluate.walk(
        past.panel.snapshots,
        past.contracts,
        settings,
        end=past.as_of,
        progress=_named(progress, "walk forward"),
        told=told,
        accounts=past.tables.accounts.rows,
    )


def train(
    past: History,
    settings: Settings,
    *,
    champion: Champion | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Train on everything known at the as-of, with figures and calibration from the walk forward.

    Parameters
    ----------
    past : History
        From :func:`history`.
    settings : data.settings.Settings
        Outcome, model, evaluation and gate.
    champion : training.rival.Champion, optional
        Whose place the model would take.
    progress : callable, optional
        Told the stage, steps done, and steps in all.

    Returns
    -------
    Trained
        Where the history is too short for a walk forward the model is uncalibrated, its evaluation
        is None, the gate refuses it, and its card says so.

    Raises
    ------
    data.errors.HistoryError
        If there is too little to learn from.
    """
    settings = team.staffed(settings, past.tables.accounts.rows)
    known = splits.known_at(past.panel.snapshots, past.contracts, past.as_of, settings.outcome)
    horizon = settings.outcome.horizon_days
    # Before the walk: what cannot be learned from is refused at once.
    fitted = model.fit(known.snapshots, known.outcomes, settings.model, horizon_days=horizon)
    leaving = churn.train(past.panel.snapshots, past.contracts, settings, end=past.as_of)
    plain = simple.train(past.panel.snapshots, past.contracts, settings, end=past.as_of)
    about = _about(past, known, settings) | {"churn_note": leaving.note}
    try:
        walked = evaluation(past, settings, progress=progress)
    except HistoryError as error:
        ruling = gate.unjudged(str(error))
        about |= {"verdict": f"Not judged: {error}", "gate": rival.told(ruling, champion)}
        return Trained(fitted, leaving, plain, ruling, None, about)
    ruling = rival.rule(
        walked.predictions,
        past.panel.snapshots,
        past.contracts,
        settings,
        end=past.as_of,
        champion=champion,
        progress=_named(progress, "the champion"),
    )
    about |= {
        "gate": rival.told(ruling, champion),
        "verdict": walked.verdict(),
        "figures": {
            ranking: {name: figure.value for name, figure in figures.items()}
            for ranking, figures in walked.figures.items()
        },
        "bands": walked.bands,
        "segments": {
            kind: {name: asdict(each) for name, each in found.items()}
            for kind, found in walked.segments.items()
        },
        "cuts_skipped": {str(cut): reason for cut, reason in walked.skipped.items()},
    }
    if (share := walked.linear_share) != fitted.linear_share:
        fitted = model.fit(
            known.snapshots,
            known.outcomes,
            settings.model,
            horizon_days=horizon,
            linear_share=share,
        )
    settled = fitted.calibrated(walked.calibration)
    return Trained(settled, leaving, plain, ruling, walked, about)


def _about(past: History, known: splits.Known, settings: Settings) -> dict[str, Any]:
    as_ofs = known.snapshots["as_of"]
    return {
        "as_of": f"{past.as_of:%Y-%m-%d}",
        "settings": settings.model.model_dump(mode="json"),
        "log": {"first_day": str(past.activity.first_day), "last_day": str(past.activity.last_day)},
        "events": past.activity.events,
        "snapshots": known.snapshots.height,
        "accounts": known.snapshots["account_id"].n_unique(),
        "as_ofs": {"first": str(as_ofs.min()), "last": str(as_ofs.max())},
        "expansion_sizes": sizes.of(known.outcomes),
        "expansions_by_kind": dict(
            known.outcomes["kind"].drop_nulls().value_counts().sort("kind").iter_rows()
        ),
    }


def _monthly(anchor: datetime, first: datetime) -> list[datetime]:
    months = (anchor - first).days // MONTH_DAYS
    return [anchor - timedelta(days=MONTH_DAYS * back) for back in range(months + 1)]


def _named(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)

"""Columns that look like the outcome, as a column does that was written once the sale was known.

A time cut cannot see an attribute that holds today's value, or a date that the sale moved without a
trace. What gives them away is that they know too much: in the months whose outcome is known, one
column alone tells the expansions from the rest almost without error.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl

from data.contracts import REQUIRED
from data.settings import MONTH_DAYS, Settings
from data.sources import Tables
from features.activity import Activity
from serving.telltale import FEWEST, LABEL, telltales
from training import outcomes

__all__ = ["as_ofs", "find"]

MOST_AS_OFS: Final = 6
_COMMONEST: Final = 20
_NAMES: Final = 50
_ADVICE: Final = {
    "accounts": "it holds today's value, probably written by the sale; it is no input of the model,"
    " so keep it out of any other table you judge accounts by",
    "users": "it is probably changed by the sale; take it out of tables.stable",
    "events": "it is probably written, or dated back, by the sale; give such rows a known_at, or"
    " leave them out of the log",
    "features": "an input of it is probably written back by the sale; see where its dates come from"
    " before you trust a figure",
}


def as_ofs(as_of: datetime, first: datetime, settings: Settings) -> list[datetime]:
    """Choose few past as-ofs with complete windows, so far apart that no expansion counts twice.

    Parameters
    ----------
    as_of : datetime.datetime
        00:00 UTC; all are whole months before it, so that one fold of the log serves them.
    first : datetime.datetime
        None lies before this moment: where the log, its burn-in included, begins.
    settings : data.settings.Settings
        Horizon, booking lag and revert days.

    Returns
    -------
    list of datetime.datetime
        At most six, the newest first.
    """
    newest, apart = _grid(as_of, settings)
    chosen = [newest - number * apart for number in range(MOST_AS_OFS)]
    return [moment for moment in chosen if moment >= first]


def find(
    past: pl.DataFrame,
    tables: Tables,
    log: Activity,
    terms: pl.DataFrame,
    as_of: datetime,
    *,
    settings: Settings,
) -> list[dict[str, Any]]:
    """Name the columns that tell expansions from the rest too well to be true.

    Parameters
    ----------
    past : polars.DataFrame
        Snapshots at :func:`as_ofs`.
    tables : data.sources.Tables
        Their accounts and users hold the attributes.
    log : features.activity.Activity
        Its names of events are judged by how often they occur before an as-of.
    terms : polars.DataFrame
        :func:`features.contract.timeline`.
    as_of : datetime.datetime
        Outcomes are read from what was known before this moment.
    settings : data.settings.Settings
        Outcome, and the attributes of users declared stable.

    Returns
    -------
    list of dict
        ``table``, ``column``, ``auroc`` with ``low``, the lower end of its 90 % interval over
        accounts, ``average_precision``, ``positives`` (expansions judged on), and ``advice``; the
        surest first.
    """
    happened = _happened(past.select("account_id", "as_of"), terms, as_of, settings)
    features = past.join(happened, on=["account_id", "as_of"]).drop("as_of")
    attributes = {
        "accounts": tables.accounts.rows.drop(REQUIRED["accounts"][1:]),
        "users": _shares(tables.users.rows, settings.tables.stable),
    }
    found = [
        *_suspects("features", features),
        *_suspects("events", _names(log, happened, settings)),
    ]
    for label in (_ever(terms, as_of, settings), _lately(happened)):
        for table, columns in attributes.items():
            found += _suspects(table, columns.join(label, on="account_id"))
    surest = {(item["table"], item["column"]): item for item in sorted(found, key=_sureness)}
    return sorted(surest.values(), key=_sureness, reverse=True)


def _sureness(item: dict[str, Any]) -> tuple[float, str, str]:
    return item["auroc"], item["table"], item["column"]


def _grid(as_of: datetime, settings: Settings) -> tuple[datetime, timedelta]:
    """The newest as-of with a complete window, and how far the others stand apart."""
    rules = settings.outcome
    settles = rules.horizon_days + rules.booking_lag_days + rules.revert_days
    return as_of - _months(settles), _months(rules.horizon_days)


def _months(days: int) -> timedelta:
    """So many days in whole months, rounded up."""
    return timedelta(days=-(-days // MONTH_DAYS) * MONTH_DAYS)


def _happened(
    keys: pl.DataFrame, terms: pl.DataFrame, as_of: datetime, settings: Settings
) -> pl.DataFrame:
    """The snapshots whose outcome is known, and whether they expanded."""
    found = outcomes.build(keys, terms, cut=as_of, rules=settings.outcome)
    label = outcomes.expanded(settings.outcome.horizon_days).alias(LABEL)
    return found.select("account_id", "as_of", label).drop_nulls()


def _ever(terms: pl.DataFrame, as_of: datetime, settings: Settings) -> pl.DataFrame:
    """Whether an account under contract ever expanded: an attribute may stem from any sale."""
    newest, apart = _grid(as_of, settings)
    paid = terms.filter("paid", pl.col("known") < newest, pl.col("effective") < newest)
    oldest = paid.select((pl.lit(newest) - pl.col("effective")).dt.total_days().max()).item()
    steps = range((oldest or 0) // apart.days + 1)
    days = [(newest - number * apart).date() for number in steps]
    accounts = paid.select("account_id").unique(maintain_order=True)
    keys = accounts.join(pl.DataFrame({"as_of": days}), how="cross")
    happened = _happened(keys, terms, as_of, settings)
    return happened.group_by("account_id").agg(pl.col(LABEL).any())


def _lately(happened: pl.DataFrame) -> pl.DataFrame:
    """The newest window alone: an attribute may be reset some months after the sale."""
    return happened.filter(pl.col("as_of") == pl.col("as_of").max()).drop("as_of")


def _shares(users: pl.DataFrame, stable: Sequence[str]) -> pl.DataFrame:
    """The share of an account's users with each common value of the attributes declared stable.

    Their number would tell expansions apart honestly: who expanded has more users.
    """
    shares = users.select("account_id").unique().sort("account_id")
    for name in (name for name in stable if name in users.columns):
        known = users.filter(pl.col(name).is_not_null())
        spread = known.group_by(name).agg(accounts=pl.col("account_id").n_unique())
        common = spread.filter(pl.col("accounts") >= FEWEST).sort("accounts", name).tail(_COMMONEST)
        held = known.group_by("account_id").agg(
            pl.col(name).eq(value).mean().alias(f"{name} = {value}") for value in common[name]
        )
        shares = shares.join(held, on="account_id", how="left")
    return shares


def _names(log: Activity, happened: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Count the names of events in the window before each snapshot, where sales follow them most.

    As-ofs stand one window apart, so that an event lies before one of them only.
    """
    keys = ["account_id", "as_of"]
    newest = happened["as_of"].max() or date.min
    apart = _months(settings.outcome.horizon_days).days
    ago = (pl.lit(newest) - pl.col("day")).dt.total_days() - 1
    windows = log.volume.filter(ago >= 0, ago < apart * MOST_AS_OFS).with_columns(
        pl.col("account_id").cast(pl.String),
        as_of=pl.lit(newest) - pl.duration(days=ago // apart * apart),
    )
    counts = (
        windows.filter(pl.col("known_day") < pl.col("as_of"))
        .group_by(*keys, name=pl.col("feature").cast(pl.String))
        .agg(pl.col("count").sum())
        .collect(engine="streaming")
        .join(happened, on=keys)
    )
    told = pl.col(LABEL)
    telling = (
        counts.group_by("name")
        .agg(told=told.sum(), share=told.mean())
        .filter(pl.col("told") >= FEWEST)
        .sort("share", "name")
        .tail(_NAMES)
    )
    held = [
        pl.col("count").filter(pl.col("name") == name).sum().alias(f"event = {name}")
        for name in sorted(telling["name"])
    ]
    wide = counts.group_by(keys).agg(held)
    rows = happened.join(wide, on=keys, how="left").drop("as_of")
    return rows.with_columns(pl.exclude("account_id", LABEL).fill_null(0))


def _suspects(table: str, labelled: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """What there is to say of the telltales among the columns of a table."""
    for found in telltales(labelled):
        attribute, _, value = found.column.partition(" = ")
        named = {"users": attribute, "events": value}
        yield {
            "table": table,
            "column": named.get(table, found.column),
            "auroc": found.auroc.value,
            "low": found.auroc.low,
            "average_precision": found.average_precision.value,
            "positives": found.positives,
            "advice": _ADVICE[table],
        }

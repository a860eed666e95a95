"""Target-leakage check: columns that predict the label implausibly well.

A temporal split cannot detect an attribute that holds today's value, or a date that the sale
changed without a trace. Their sign is that, in months with known labels, a single column separates
expansions from the rest almost without error.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import polars as pl
from polars import selectors as cs

from data.config.settings import MONTH_DAYS, OutcomeConfig, Settings
from data.ingest.table_loader import Tables
from data.schemas import REQUIRED_COLUMNS
from features.activity.daily_tables import Activity
from training.labels import build_outcomes, expansion_label
from training.metrics import summary
from training.metrics.cluster_bootstrap import factorize_columns

__all__ = ["find_implausible_columns", "find_leaky_columns", "sample_as_of_dates"]

LABEL_COLUMN: Final = "expanded?"  # cannot clash with a warehouse column

# The simulator's true probability has an AUROC of .86 to .89. The best legitimate column of a real
# log, with contracts derived from use, has .92 (.89 to .95) and an average precision of .31. Values
# significantly above these indicate leakage. Average precision detects partial leaks, but is only
# meaningful where expansions are rare.
THRESHOLDS: Final = {  # value, and lower end of its 90 % interval
    "auroc": (0.95, 0.90),
    "average_precision": (0.70, 0.60),
}
MAX_POSITIVE_RATE: Final = 0.20  # average precision is tested up to this share of expansions
MIN_AUROC: Final = 0.85  # no interval is computed below
MIN_POSITIVES: Final = 10  # expanding accounts, and negative rows
_BINS: Final = 20
_FOLDS: Final = 5
_RESAMPLES: Final = 100
_PRIOR_ROWS: Final = 2.0
MAX_AS_OF_DATES: Final = 6
_MAX_VALUES: Final = 20
_MAX_EVENT_NAMES: Final = 50
_ADVICE: Final = {
    "accounts": "it holds today's value, probably written by the sale; the model does not use it,"
    " but do not rely on it elsewhere either",
    "users": "it is probably changed by the sale; remove it from tables.time_invariant_attributes",
    "events": "it is probably written or backdated by the sale; add a known_at to such rows, or"
    " exclude them from the log",
    "features": "one of its inputs is probably changed by the sale; check the source of its dates"
    " before you rely on any metric",
}


def sample_as_of_dates(as_of: datetime, first: datetime, rules: OutcomeConfig) -> list[datetime]:
    """Sample a few past as-ofs with complete windows, spaced so that no expansion counts twice.

    Returns at most six, the latest first, none before ``first``, the start of the log plus its
    burn-in. All are whole months before ``as_of``, 00:00 UTC, so that one aggregation of the log
    serves them.
    """
    newest, spacing = _compute_label_grid(as_of, rules)
    chosen = [newest - number * spacing for number in range(MAX_AS_OF_DATES)]
    return [as_of_date for as_of_date in chosen if as_of_date >= first]


def find_leaky_columns(
    snapshots: pl.DataFrame,
    tables: Tables,
    activity: Activity,
    contracts: pl.DataFrame,
    as_of: datetime,
    *,
    settings: Settings,
) -> list[dict[str, Any]]:
    """Find the columns that separate expansions from the rest implausibly well.

    Tested are the features of ``snapshots``, taken at :func:`sample_as_of_dates`, the attributes of
    accounts and users, and event names by their number of events before an as-of. Labels use only
    data known before ``as_of``.

    Each has ``table``, the keys of :func:`find_implausible_columns` and ``advice``; highest AUROC
    first.
    """
    rules = settings.outcome
    labelled = _label_snapshots(snapshots.select("account_id", "as_of"), contracts, as_of, rules)
    features = snapshots.join(labelled, on=["account_id", "as_of"]).drop("as_of")
    attributes = {
        "accounts": tables.accounts.rows.drop(REQUIRED_COLUMNS["accounts"][1:]),
        "users": _compute_value_shares(
            tables.users.rows, settings.tables.time_invariant_attributes
        ),
    }
    # The latest window by itself, since an attribute may be reset some months after the sale.
    newest_window = labelled.filter(pl.col("as_of") == pl.col("as_of").max()).drop("as_of")
    findings = [
        *_list_findings("features", features),
        *_list_findings("events", _count_event_names(activity, labelled, rules)),
    ]
    for label in (_label_accounts_ever(contracts, as_of, rules), newest_window):
        for table, columns in attributes.items():
            findings += _list_findings(table, columns.join(label, on="account_id"))
    strongest = {(item["table"], item["column"]): item for item in sorted(findings, key=_sort_key)}
    return sorted(strongest.values(), key=_sort_key, reverse=True)


def _sort_key(item: dict[str, Any]) -> tuple[float, str, str]:
    return item["auroc"], item["table"], item["column"]


def _compute_label_grid(as_of: datetime, rules: OutcomeConfig) -> tuple[datetime, timedelta]:
    """Return the latest as-of with a complete window, and the spacing of the sampled as-ofs."""
    label_days = rules.horizon_days + rules.booking_lag_days + rules.revert_days
    return as_of - _round_up_to_months(label_days), _round_up_to_months(rules.horizon_days)


def _round_up_to_months(days: int) -> timedelta:
    return timedelta(days=-(-days // MONTH_DAYS) * MONTH_DAYS)


def _label_snapshots(
    keys: pl.DataFrame, contracts: pl.DataFrame, as_of: datetime, rules: OutcomeConfig
) -> pl.DataFrame:
    """Return the snapshots with a matured label."""
    labels = build_outcomes(keys, contracts, cutoff=as_of, rules=rules)
    label = expansion_label(rules.horizon_days).alias(LABEL_COLUMN)
    return labels.select("account_id", "as_of", label).drop_nulls()


def _label_accounts_ever(
    contracts: pl.DataFrame, as_of: datetime, rules: OutcomeConfig
) -> pl.DataFrame:
    """Label accounts that ever expanded under contract, since any sale may set an attribute."""
    newest, spacing = _compute_label_grid(as_of, rules)
    paid = contracts.filter("paid", pl.col("known") < newest, pl.col("effective") < newest)
    oldest = paid.select((pl.lit(newest) - pl.col("effective")).dt.total_days().max()).item()
    steps = range((oldest or 0) // spacing.days + 1)
    days = [(newest - number * spacing).date() for number in steps]
    accounts = paid.select("account_id").unique(maintain_order=True)
    keys = accounts.join(pl.DataFrame({"as_of": days}), how="cross")
    labelled = _label_snapshots(keys, contracts, as_of, rules)
    return labelled.group_by("account_id").agg(pl.col(LABEL_COLUMN).any())


def _compute_value_shares(users: pl.DataFrame, attributes: Sequence[str]) -> pl.DataFrame:
    """Compute the share of users with each common value of the time-invariant attributes.

    Counts would be a legitimate predictor, because accounts that expanded have more users.
    """
    shares = users.select("account_id").unique().sort("account_id")
    for name in (name for name in attributes if name in users.columns):
        with_value = users.filter(pl.col(name).is_not_null())
        value_counts = with_value.group_by(name).agg(accounts=pl.col("account_id").n_unique())
        common = (
            value_counts.filter(pl.col("accounts") >= MIN_POSITIVES)
            .sort("accounts", name)
            .tail(_MAX_VALUES)
        )
        account_shares = with_value.group_by("account_id").agg(
            pl.col(name).eq(value).mean().alias(f"{name} = {value}") for value in common[name]
        )
        shares = shares.join(account_shares, on="account_id", how="left")
    return shares


def _count_event_names(
    activity: Activity, labelled: pl.DataFrame, rules: OutcomeConfig
) -> pl.DataFrame:
    """Count events in the window before each snapshot, for the names most linked to expansions.

    As-ofs are one window apart, so that an event precedes only one of them.
    """
    keys = ["account_id", "as_of"]
    newest = labelled["as_of"].max() or date.min
    spacing_days = _round_up_to_months(rules.horizon_days).days
    days_before = (pl.lit(newest) - pl.col("day")).dt.total_days() - 1
    windows = activity.volume.filter(
        days_before >= 0, days_before < spacing_days * MAX_AS_OF_DATES
    ).with_columns(
        pl.col("account_id").cast(pl.String),
        as_of=pl.lit(newest) - pl.duration(days=days_before // spacing_days * spacing_days),
    )
    counts = (
        windows.filter(pl.col("known_day") < pl.col("as_of"))
        .group_by(*keys, name=pl.col("feature").cast(pl.String))
        .agg(pl.col("count").sum())
        .collect(engine="streaming")
        .join(labelled, on=keys)
    )
    is_expansion = pl.col(LABEL_COLUMN)
    selected = (
        counts.group_by("name")
        .agg(expansions=is_expansion.sum(), share=is_expansion.mean())
        .filter(pl.col("expansions") >= MIN_POSITIVES)
        .sort("share", "name")
        .tail(_MAX_EVENT_NAMES)
    )
    columns = [
        pl.col("count").filter(pl.col("name") == name).sum().alias(f"event = {name}")
        for name in sorted(selected["name"])
    ]
    wide = counts.group_by(keys).agg(columns)
    rows = labelled.join(wide, on=keys, how="left").drop("as_of")
    return rows.with_columns(pl.exclude("account_id", LABEL_COLUMN).fill_null(0))


def _list_findings(table: str, labelled: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield a report entry for each implausible column of a table."""
    for finding in find_implausible_columns(labelled):
        attribute, _, value = finding["column"].partition(" = ")
        column = {"users": attribute, "events": value}.get(table, finding["column"])
        yield {"table": table} | finding | {"column": column, "advice": _ADVICE[table]}


def find_implausible_columns(labelled: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Find the columns that rank the expansions implausibly well.

    ``labelled`` holds ``account_id``, ``LABEL_COLUMN``, and the columns to test: numbers, times,
    booleans, text. Each finding has ``column``, ``auroc`` with ``low``, the lower end of its 90 %
    interval over accounts, ``average_precision`` and ``positives`` (number of expansions). A column
    may occur more than once. There is none if fewer than ten accounts expanded.
    """
    labelled = labelled.sort("account_id", maintain_order=True)
    positives = int(labelled[LABEL_COLUMN].sum())
    expanding_accounts = labelled.filter(LABEL_COLUMN)["account_id"].n_unique()
    if min(expanding_accounts, labelled.height - positives) < MIN_POSITIVES:
        return
    scores = _build_scores(labelled)
    ranks = scores.select(pl.all().rank().filter(labelled[LABEL_COLUMN]).mean())
    for name in scores.columns:
        auroc = (ranks[name].item() - (positives + 1) / 2) / (labelled.height - positives)
        if auroc >= MIN_AUROC and (
            estimates := _compute_implausible_metrics(scores[name], labelled)
        ):
            yield {
                "column": name.partition(":")[2],
                "auroc": estimates["auroc"].value,
                "low": estimates["auroc"].low,
                "average_precision": estimates["average_precision"].value,
                "positives": positives,
            }


def _compute_implausible_metrics(
    score: pl.Series, labelled: pl.DataFrame
) -> dict[str, summary.MetricEstimate]:
    """Return the metrics of a score if one and its lower bound exceed the thresholds."""
    is_rare = labelled[LABEL_COLUMN].mean() <= MAX_POSITIVE_RATE  # type: ignore[operator]
    thresholds = THRESHOLDS if is_rare else {"auroc": THRESHOLDS["auroc"]}
    values = _compute_metrics(score, labelled, resamples=0)
    if not any((values[name].value or 0) >= value for name, (value, _) in thresholds.items()):
        return {}
    estimates = _compute_metrics(score, labelled, resamples=_RESAMPLES)
    is_significant = any(
        (estimates[name].value or 0) >= value and (estimates[name].low or 0) >= low
        for name, (value, low) in thresholds.items()
    )
    return estimates if is_significant else {}


def _build_scores(labelled: pl.DataFrame) -> pl.DataFrame:
    """Turn each column into scores: ascending, descending, and the target rate of its values.

    The rate of a value is computed out of fold by account, so that a unique name carries no
    information.
    """
    columns = labelled.drop("account_id", LABEL_COLUMN)
    numeric_columns = columns.select(
        (cs.numeric() | cs.temporal() | cs.boolean()).cast(pl.Float64, strict=False)
    )
    text_columns = columns.select(cs.string() | cs.categorical() | cs.enum())
    bins = numeric_columns.select((pl.all().rank("max") - 1) * _BINS // (pl.all().count() + 1))
    # Missing is a separate value for the rates, and ranks last for the rankings.
    up = numeric_columns.select(pl.all().fill_null(float("-inf")).name.prefix("up:"))
    down = numeric_columns.select((-pl.all()).fill_null(float("-inf")).name.prefix("down:"))
    rates = [_compute_out_of_fold_rates(column, labelled) for column in (*bins, *text_columns)]
    return pl.concat([up, down, pl.DataFrame(rates)], how="horizontal")


def _compute_out_of_fold_rates(column: pl.Series, labelled: pl.DataFrame) -> pl.Series:
    # Hashed, because account ids may be ordered by creation.
    hashed_account = pl.col("account_id").rank("dense").cast(pl.UInt64) * 2_654_435_761 % 2**32
    rows = labelled.select(LABEL_COLUMN, value=column, fold=hashed_account % _FOLDS)
    positives, total = pl.col(LABEL_COLUMN).sum(), pl.len()
    group = ("value", "fold")
    other_positives = (positives.over("value") - positives.over(group)).cast(pl.Float64)
    other_rows = (total.over("value") - total.over(group)).cast(pl.Float64)
    prior = pl.col(LABEL_COLUMN).mean()
    rate = (other_positives + _PRIOR_ROWS * prior) / (other_rows + _PRIOR_ROWS)
    return rows.select(rate.alias(f"rate:{column.name}")).to_series()


def _compute_metrics(
    score: pl.Series, labelled: pl.DataFrame, *, resamples: int
) -> dict[str, summary.MetricEstimate]:
    """Compute AUROC and average precision, with account-clustered intervals if resampled."""
    (account,) = factorize_columns(labelled["account_id"])
    labels = summary.LabelledOutcomes(labelled[LABEL_COLUMN].to_numpy(), account, account * 0)
    ranks = score.rank().to_numpy()
    return summary.compute_metrics(ranks, labels, capacity=1, resamples=resamples, seed=0)

"""Leakage score: how well a single column predicts the label, and the implausibility threshold."""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl
from polars import selectors as cs

from training.metrics import summary
from training.metrics.cluster_bootstrap import factorize_columns

__all__ = ["LABEL_COLUMN", "MIN_POSITIVES", "find_implausible_columns"]

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


def find_implausible_columns(labelled: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Find the columns that rank the expansions implausibly well.

    ``labelled`` holds ``account_id``, ``LABEL_COLUMN``, and the columns to test: numbers, times,
    booleans, text.

    Yields
    ------
    dict
        ``column``, ``auroc`` with ``low``, the lower end of its 90 % interval over accounts,
        ``average_precision``, ``positives`` (number of expansions). A column may occur more than
        once. None if fewer than ten accounts expanded.
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

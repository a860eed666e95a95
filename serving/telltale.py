"""How well one column alone tells the expansions from the rest, and when that is too well."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl
from polars import selectors as cs

from training import metrics
from training.resampling import codes

__all__ = ["FEWEST", "LABEL", "Telltale", "telltales"]

LABEL: Final = "expanded?"  # no column of a warehouse is called so

# The simulator's true probability ranks expansions at .86 to .89, and the best honest column of a
# real log, whose contract follows from its use, at .92 (.89 to .95), with an average precision of
# .31. What lies above these, luck set aside, knows the outcome. Average precision finds leaks that
# cover a part of the expansions; where many accounts expanded, honest columns reach it too.
LEAST: Final = {  # value, and lower end of its 90 % interval
    "auroc": (0.95, 0.90),
    "average_precision": (0.70, 0.60),
}
RARE: Final = 0.20  # share of expansions up to which average precision is asked
WORTH_A_LOOK: Final = 0.85  # AUROC below which no interval is computed
FEWEST: Final = 10  # accounts that expanded, and rows that did not: fewer tell by chance
_BINS: Final = 20
_FOLDS: Final = 5
_RESAMPLES: Final = 100
_PRIOR_ROWS: Final = 2.0


@dataclass(frozen=True)
class Telltale:
    """A column that knows too much, and how well it ranks the expansions it was judged on."""

    column: str
    auroc: metrics.Figure
    average_precision: metrics.Figure
    positives: int


def telltales(labelled: pl.DataFrame) -> Iterator[Telltale]:
    """Find the columns that rank the expansions implausibly well.

    Parameters
    ----------
    labelled : polars.DataFrame
        ``account_id``, ``LABEL``, and the columns to judge: numbers, times, truth values, words.

    Yields
    ------
    Telltale
        A column may come more than once. None where fewer than ten accounts expanded.
    """
    labelled = labelled.sort("account_id", maintain_order=True)
    positives = int(labelled[LABEL].sum())
    buyers = labelled.filter(LABEL)["account_id"].n_unique()
    if min(buyers, labelled.height - positives) < FEWEST:
        return
    scores = _scores(labelled)
    ranks = scores.select(pl.all().rank().filter(labelled[LABEL]).mean())
    for name in scores.columns:
        auroc = (ranks[name].item() - (positives + 1) / 2) / (labelled.height - positives)
        if auroc >= WORTH_A_LOOK and (figures := _too_good(scores[name], labelled)):
            yield Telltale(
                name.partition(":")[2], figures["auroc"], figures["average_precision"], positives
            )


def _too_good(score: pl.Series, labelled: pl.DataFrame) -> dict[str, metrics.Figure]:
    """The figures of a score if one is implausible, by itself and with luck set aside."""
    rare = labelled[LABEL].mean() <= RARE  # type: ignore[operator]
    asked = LEAST if rare else {"auroc": LEAST["auroc"]}
    values = _figures(score, labelled, resamples=0)
    if not any((values[name].value or 0) >= value for name, (value, _) in asked.items()):
        return {}
    figures = _figures(score, labelled, resamples=_RESAMPLES)
    sure = any(
        (figures[name].value or 0) >= value and (figures[name].low or 0) >= low
        for name, (value, low) in asked.items()
    )
    return figures if sure else {}


def _scores(labelled: pl.DataFrame) -> pl.DataFrame:
    """Each column as scores of expansion: up, down, and by the rate of its values or bins.

    The rate of a value is that among the accounts of other folds, so that a name, which no other
    account bears, says nothing.
    """
    columns = labelled.drop("account_id", LABEL)
    numbers = columns.select(
        (cs.numeric() | cs.temporal() | cs.boolean()).cast(pl.Float64, strict=False)
    )
    words = columns.select(cs.string() | cs.categorical() | cs.enum())
    bins = numbers.select((pl.all().rank("max") - 1) * _BINS // (pl.all().count() + 1))
    # A missing number is a fact of its own to the rates, and the least one to the rankings.
    up = numbers.select(pl.all().fill_null(float("-inf")).name.prefix("up:"))
    down = numbers.select((-pl.all()).fill_null(float("-inf")).name.prefix("down:"))
    rates = [_rates(column, labelled) for column in (*bins, *words)]
    return pl.concat([up, down, pl.DataFrame(rates)], how="horizontal")


def _rates(column: pl.Series, labelled: pl.DataFrame) -> pl.Series:
    # Mixed, since accounts may follow each other in some order of their own.
    mixed = pl.col("account_id").rank("dense").cast(pl.UInt64) * 2_654_435_761 % 2**32
    rows = labelled.select(LABEL, value=column, fold=mixed % _FOLDS)
    expanded, every = pl.col(LABEL).sum(), pl.len()
    here = ("value", "fold")
    elsewhere = (expanded.over("value") - expanded.over(here)).cast(pl.Float64)
    known = (every.over("value") - every.over(here)).cast(pl.Float64)
    prior = pl.col(LABEL).mean()
    rate = (elsewhere + _PRIOR_ROWS * prior) / (known + _PRIOR_ROWS)
    return rows.select(rate.alias(f"rate:{column.name}")).to_series()


def _figures(
    score: pl.Series, labelled: pl.DataFrame, *, resamples: int
) -> dict[str, metrics.Figure]:
    """AUROC and average precision; with resamples also their intervals, clustered by account."""
    (account,) = codes(labelled["account_id"])
    judged = metrics.Judged(labelled[LABEL].to_numpy(), account, account * 0)
    finite = score.rank().to_numpy()
    return metrics.figures(finite, judged, capacity=1, resamples=resamples, seed=0)

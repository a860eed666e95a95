"""What the walk does not tell of the dates: kinder and harsher readings of the two rivals."""

from pathlib import Path
from typing import Any

import drawn
import numpy as np
import polars as pl
import walks
from numpy.typing import NDArray

from training.metrics.dates import pinball_loss, select_evaluable_rows

__all__ = ["dates"]

_LONGEST = 180


def dates(name: str, folder: Path) -> dict[str, Any]:
    """Take the walk's figures of the dates, and add the constant's pinball loss and other lines."""
    known = select_evaluable_rows(walks.predictions(name, folder))
    came = known["days_to_expansion"].to_numpy().astype(np.float64)
    mine = np.abs(known["median_days"].to_numpy() - came)
    days = pl.col("days_to_limit")
    usual = pl.col("usual_median_days")
    readings = {
        # A line that reaches the limit only after the 180 days has no date to give.
        "line_within": pl.when(days < _LONGEST).then(days).otherwise(usual),
        "line_as_it_is": days.fill_null(usual),
    }
    wanted = {
        f"gain_over_{reading}": _saved(mine, np.abs(_column(known, line) - came))
        for reading, line in readings.items()
    }
    for label, share in {"early": 0.1, "median": 0.5, "late": 0.9}.items():
        loss = pinball_loss(known[f"usual_{label}_days"].to_numpy(), came, share)
        wanted[f"usual_pinball_{label}"] = _mean(loss)
    inside = known.select(
        pl.col("days_to_expansion").is_between("usual_early_days", "usual_late_days")
    )
    wanted["usual_coverage"] = _mean(inside.to_series().to_numpy().astype(np.float64))
    found = drawn.intervals(wanted, known)
    return {
        "walk": walks.figures(name, folder)["dates"],
        "more": found,
        "expanded": known.height,
        "accounts": known["account_id"].n_unique(),
        "no_limit": known["days_to_limit"].null_count(),
        "beyond": int(known.filter(days >= _LONGEST).height),
        "width": float((known["late_days"] - known["early_days"]).mean() or 0),
    }


def _column(known: pl.DataFrame, line: pl.Expr) -> NDArray[np.float64]:
    return known.select(line.alias("line"))["line"].to_numpy().astype(np.float64)


def _saved(error: NDArray[np.float64], rival: NDArray[np.float64]) -> Any:
    return lambda rows: 1 - float(error[rows].sum() / rival[rows].sum())


def _mean(values: NDArray[np.float64]) -> Any:
    return lambda rows: float(values[rows].mean())

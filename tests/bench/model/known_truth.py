"""The model beside what only the simulator knows: true probabilities and true drivers."""

from pathlib import Path
from typing import Any

import drawn
import numpy as np
import panels
import polars as pl
import true_dates
import walks
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from data.simulator import hazard
from data.simulator.simulation import day_number
from features.catalogue import REASON_GROUPS

__all__ = ["drivers", "probability", "shares"]

_RESAMPLES = 200
_SEED = 7
_MOST_DAYS = 30  # from an as-of to the expansion after it
_PEOPLE = {"seats", "newcomers"}
# The stories that tell of the pressure which the simulator says was the cause.
TELLS = {
    "seats filling up": _PEOPLE,
    "more people than seats": _PEOPLE,
    "API calls nearing the limit": {"usage"},
    "features outgrowing the plan": {"adoption"},
    "new departments": {"departments"},
}
if unknown := set().union(*TELLS.values()) - set(REASON_GROUPS):
    raise KeyError(f"the catalogue has no story {', '.join(sorted(unknown))}: TELLS is out of date")


def probability(name: str, folder: Path) -> dict[str, Any]:
    """Hold ranking, probability and interval against the true 60-day probability."""
    known = _beside_truth(name, folder)
    expanded, stated, true = (
        known[column].to_numpy() for column in ("expanded", "probability", "p_60")
    )
    held = (known["low"].to_numpy() <= true) & (true <= known["high"].to_numpy())

    wanted = {
        **shares(expanded, stated, true),
        "auroc": lambda rows: float(roc_auc_score(expanded[rows], stated[rows])),
        "auroc_true": lambda rows: float(roc_auc_score(expanded[rows], true[rows])),
        "average_precision": lambda rows: float(
            average_precision_score(expanded[rows], stated[rows])
        ),
        "average_precision_true": lambda rows: float(
            average_precision_score(expanded[rows], true[rows])
        ),
        "difference": lambda rows: float(np.abs(stated[rows] - true[rows]).mean()),
        "difference_constant": lambda rows: float(np.abs(true[rows].mean() - true[rows]).mean()),
        "held": lambda rows: float(held[rows].mean()),
        "width": lambda rows: float((known["high"] - known["low"]).to_numpy()[rows].mean()),
    }
    return drawn.intervals(wanted, known) | {
        "snapshots": known.height,
        "expanded": int(expanded.sum()),
    }


def shares(
    expanded: NDArray[np.bool_], stated: NDArray[np.float64], true: NDArray[np.float64]
) -> dict[str, drawn.Told]:
    """How much of what the true probability reaches a score does: AUROC above chance, precision."""

    def auroc(rows: NDArray[np.int64]) -> float:
        mine, best = (roc_auc_score(expanded[rows], p[rows]) - 0.5 for p in (stated, true))
        return float(mine / best)

    def precision(rows: NDArray[np.int64]) -> float:
        mine, best = (average_precision_score(expanded[rows], p[rows]) for p in (stated, true))
        return float(mine / best)

    return {"auroc_share": auroc, "average_precision_share": precision}


def drivers(name: str, folder: Path) -> dict[str, Any]:
    """Ask whether the first signals tell what caused the expansions that followed."""
    caused = _expansions(name, folder)
    told, cause = caused["signals"].to_list(), caused["driver"].to_list()
    rng = np.random.default_rng(_SEED)
    dealt = [
        _shares(caused, [told[place] for place in rng.permutation(len(told))]) for _ in range(100)
    ]
    return {
        "expansions": len(told),
        "measured": _shares(caused, told, _RESAMPLES),
        "dealt": {
            name: float(np.mean([each[name]["value"] for each in dealt]))
            for name in ("first", "three")
        },
        "always_people": float(np.mean([TELLS[each] is _PEOPLE for each in cause])),
        "strongest_pressure": _strongest(name, caused),
        "by_driver": {
            driver: [int(rows.height), *_plain(rows)]
            for (driver,), rows in caused.group_by("driver", maintain_order=True)
        },
    }


def _beside_truth(name: str, folder: Path) -> pl.DataFrame:
    true = panels.truth(name, folder, "truth").with_columns(pl.col("as_of").dt.date())
    return (
        walks.predictions(name, folder)
        .drop_nulls("expanded")
        .join(true, on=["account_id", "as_of"], how="inner", maintain_order="left")
    )


def _expansions(name: str, folder: Path) -> pl.DataFrame:
    """Each expansion with a cause, beside the explanation at the last as-of before it."""
    causes = panels.truth(name, folder, "drivers").filter(pl.col("driver") != "chance")
    judged = walks.explanations(name, folder)
    days = (pl.col("date") - pl.col("as_of")).dt.total_days()
    return (
        causes.join(judged, on="account_id")
        .with_columns(days=days)
        .filter(pl.col("days").is_between(0, _MOST_DAYS - 1))
        .sort("account_id", "date", "as_of")
        .group_by("account_id", "date", maintain_order=True)
        .last()
    )


def _shares(
    caused: pl.DataFrame, told: list[list[str]], resamples: int = 0
) -> dict[str, dict[str, Any]]:
    cause = caused["driver"].to_list()
    pairs = list(zip(told, cause, strict=True))
    right = {
        "first": np.array([bool(TELLS[why] & set(each[:1])) for each, why in pairs]),
        "three": np.array([bool(TELLS[why] & set(each)) for each, why in pairs]),
    }
    wanted = {name: _mean(hits) for name, hits in right.items()}
    return drawn.intervals(wanted, caused.select("account_id"), resamples or 1)


def _plain(rows: pl.DataFrame) -> list[float | None]:
    found = _shares(rows, rows["signals"].to_list())
    return [found["first"]["value"], found["three"]["value"]]


def _strongest(name: str, caused: pl.DataFrame) -> float:
    """How often the cause tells the same as the pressure that was truly strongest at the as-of."""
    history = true_dates.lived(name)
    sources, hits = list(hazard.SOURCES), []
    for row in caused.to_dicts():
        day = day_number(row["as_of"])
        rates = hazard.hazard_rates(history.states[day], day)[:, int(row["account_id"][4:])]
        strongest = sources[int(np.argmax(rates[:-1]))]
        hits.append(TELLS[strongest] is TELLS[row["driver"]])
    return float(np.mean(hits))


def _mean(values: NDArray[np.bool_]) -> Any:
    return lambda rows: float(values[rows].mean())

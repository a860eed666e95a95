"""What is left of the skill when the outcomes belong to other accounts: nothing should be."""

from pathlib import Path
from typing import Any

import numpy as np
import panels
import polars as pl
from scipy.stats import rankdata

from data.config.settings import Settings
from training.evaluation import evaluate

__all__ = ["dealt", "fewer", "shuffled"]

# The question is whether anything leaks, not how good the model is: fewer trainings do.
_FEWER = {"model": {"ensemble_size": 2}, "evaluation": {"refit_months": 24, "n_bootstrap": 200}}


def shuffled(name: str, folder: Path, number: int, *, smoke: bool) -> dict[str, Any]:
    """Deal whole contract histories to other accounts, and walk forward with those outcomes.

    The features stay, contract features included; what is learned and judged is what became of
    another account. Each outcome history stays whole, so outcomes cluster by account and in time
    as before, and none keeps its own. Accounts that are judged exchange among themselves, and so
    do the others: else most would be dealt a life that was over before the first judged as-of.
    """
    past = panels.load(name, folder, smoke=smoke)
    settings = past.settings if smoke else fewer(past.settings)
    contracts = dealt(past, number)
    found = evaluate.evaluate_walk_forward(past.snapshots, contracts, settings, end=past.end)
    known = found.predictions.drop_nulls("expanded")
    return {
        "auroc": vars(found.metrics[evaluate.MODEL]["auroc"]),
        "auroc_within_as_ofs": _within(known),
        "expanded": int(known["expanded"].sum()),
    }


def dealt(past: panels.Past, number: int) -> pl.DataFrame:
    """Give the contracts with every judged account's history dealt to another."""
    to = _dealt(past, np.random.default_rng(number))
    order = past.contracts.columns
    # Accounts that were never eligible have no part in it.
    return (
        past.contracts.filter(pl.col("account_id").is_in(list(to)))
        .with_columns(pl.col("account_id").replace_strict(to, return_dtype=pl.String))
        .select(order)
        .sort("account_id", maintain_order=True)
    )


def fewer(settings: Settings) -> Settings:
    """Give settings with fewer members and cuts, which are enough to ask whether anything leaks."""
    sections = {
        name: getattr(settings, name).model_copy(update=changes) for name, changes in _FEWER.items()
    }
    return settings.model_copy(update=sections)


def _dealt(past: panels.Past, rng: np.random.Generator) -> dict[str, str]:
    """Whose outcomes go to whom: one random cycle through the judged accounts, one through others.

    The walk judges from the same as-of on, so every judged account is dealt a judged one's.
    """
    days = past.snapshots["as_of"].unique().sort()
    first = past.settings.evaluation.first_as_of or days[len(days) * 2 // 3]
    last = past.snapshots.group_by("account_id").agg(last=pl.col("as_of").max()).sort("account_id")
    dealt: dict[str, str] = {}
    for group in (last.filter(pl.col("last") >= first), last.filter(pl.col("last") < first)):
        accounts = group["account_id"].to_list()
        cycle = rng.permutation(len(accounts))
        pairs = zip(cycle, np.roll(cycle, 1), strict=True)
        dealt |= {accounts[a]: accounts[b] for a, b in pairs}
    return dealt


def _within(known: pl.DataFrame) -> float:
    """AUROC over pairs of one as-of only, so that season and trend have no part in it."""
    wins = pairs = 0.0
    for _, rows in known.group_by("as_of"):
        expanded = rows["expanded"].to_numpy()
        yes, no = int(expanded.sum()), int((~expanded).sum())
        ranks = rankdata(rows["probability"].to_numpy())
        wins += ranks[expanded].sum() - yes * (yes + 1) / 2
        pairs += yes * no
    return float(wins / pairs)

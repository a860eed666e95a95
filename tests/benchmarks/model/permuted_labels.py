"""Permutation test: with the outcomes of other accounts no skill should remain."""

from typing import Any

import numpy as np
import polars as pl
from scipy.stats import rankdata

from data.config.settings import Settings
from tests.benchmarks.model.panels import BenchCompany, CompanyHistory, update_sections
from training.evaluation import evaluate

__all__ = ["evaluate_permuted_labels", "permute_contracts", "reduce_effort"]

# Detecting a leak needs fewer fits than measuring quality.
_REDUCED_EFFORT = {
    "model": {"ensemble_size": 2},
    "evaluation": {"refit_months": 24, "n_bootstrap": 200},
}


def evaluate_permuted_labels(company: BenchCompany, number: str) -> dict[str, Any]:
    """Permute whole contract histories among accounts, and run walk-forward validation.

    The features stay, contract features included; the labels are those of another account.
    Each outcome history stays whole, so outcomes cluster by account and in time as before, and
    no account keeps its own. Evaluated accounts exchange among themselves, and so do the
    others: else most evaluated accounts would get a history that ended before the first
    evaluated as-of.
    """
    history = company.load_history()
    settings = history.settings if company.smoke else reduce_effort(history.settings)
    contracts = permute_contracts(history, int(number))
    evaluation = evaluate.evaluate_walk_forward(
        history.snapshots, contracts, settings, end=history.end
    )
    labelled = evaluation.predictions.drop_nulls("expanded")
    return {
        "auroc": vars(evaluation.metrics[evaluate.MODEL]["auroc"]),
        "auroc_within_as_ofs": _auroc_within_as_ofs(labelled),
        "expanded": int(labelled["expanded"].sum()),
    }


def permute_contracts(history: CompanyHistory, number: int) -> pl.DataFrame:
    """Return the contracts with every evaluated account's history assigned to another."""
    donor_to_recipient = _draw_permutation(history, np.random.default_rng(number))
    order = history.contracts.columns
    # Accounts that were never eligible are excluded.
    return (
        history.contracts.filter(pl.col("account_id").is_in(list(donor_to_recipient)))
        .with_columns(
            pl.col("account_id").replace_strict(donor_to_recipient, return_dtype=pl.String)
        )
        .select(order)
        .sort("account_id", maintain_order=True)
    )


def reduce_effort(settings: Settings) -> Settings:
    """Return settings with fewer ensemble members and refits, which suffice to detect a leak."""
    return update_sections(settings, _REDUCED_EFFORT)


def _draw_permutation(history: CompanyHistory, rng: np.random.Generator) -> dict[str, str]:
    """Draw one random cycle through the evaluated accounts, and one through the others.

    Evaluation starts at the same as-of, so every evaluated account gets an evaluated one's history.
    """
    days = history.snapshots["as_of"].unique().sort()
    first = history.settings.evaluation.first_as_of or days[len(days) * 2 // 3]
    last = (
        history.snapshots.group_by("account_id").agg(last=pl.col("as_of").max()).sort("account_id")
    )
    permutation: dict[str, str] = {}
    for group in (last.filter(pl.col("last") >= first), last.filter(pl.col("last") < first)):
        accounts = group["account_id"].to_list()
        cycle = rng.permutation(len(accounts))
        pairs = zip(cycle, np.roll(cycle, 1), strict=True)
        permutation |= {accounts[a]: accounts[b] for a, b in pairs}
    return permutation


def _auroc_within_as_ofs(labelled: pl.DataFrame) -> float:
    """Compute AUROC over pairs of the same as-of, which removes season and trend."""
    wins = pairs = 0.0
    for _, rows in labelled.group_by("as_of"):
        expanded = rows["expanded"].to_numpy()
        yes, no = int(expanded.sum()), int((~expanded).sum())
        ranks = rankdata(rows["probability"].to_numpy())
        wins += ranks[expanded].sum() - yes * (yes + 1) / 2
        pairs += yes * no
    return float(wins / pairs)

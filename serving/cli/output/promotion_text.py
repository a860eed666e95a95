"""Terminal output of the promotion gate and the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.cli.output.terminal import stdout

if TYPE_CHECKING:
    from training.promotion.gate import GateDecision
    from training.registry import ModelAliases, Promotion

__all__ = ["print_gate_decision", "print_promotion"]


def print_gate_decision(
    decision: GateDecision, fallback: str, version: str, aliases: ModelAliases
) -> None:
    """Print the gate decision on a new version, and the model that ranks the list now."""
    for sentence in (decision.summary, *decision.notes):
        stdout.print(sentence, highlight=False, markup=False)
    stdout.print(
        _describe_aliases(fallback, version, aliases), highlight=False, style="bold", markup=False
    )


def print_promotion(promotion: Promotion) -> None:
    """Print a change of champion."""
    previous = "" if promotion.previous is None else f" in place of version {promotion.previous}"
    forced = ", against the gate" if promotion.forced else ""
    stdout.print(
        f"Version {promotion.version} is the champion{previous}{forced}: {promotion.reason}",
        highlight=False,
        markup=False,
    )


def _describe_aliases(fallback: str, version: str, aliases: ModelAliases) -> str:
    if aliases.champion == version:
        return f"Version {version} is the champion and ranks the weekly list."
    waiting = f"Version {version} is the challenger"
    if aliases.champion is None:
        return (
            f"{waiting}, and there is no champion: the best baseline ranks the weekly list,"
            f" {fallback}, with a probability calibrated on past outcomes."
        )
    return f"{waiting}, and version {aliases.champion} remains the champion."

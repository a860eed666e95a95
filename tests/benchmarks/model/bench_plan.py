"""Size of the benchmark and its companies. Imports nothing heavy: see ``bench_model``."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["OPENSTACK", "BenchPlan", "build_plan"]

OPENSTACK = "openstack"
_SIZES = (200, 500, 2_000)  # accounts


@dataclass(frozen=True)
class BenchPlan:
    """Companies and sizes to measure.

    Attributes
    ----------
    simulated : str
        The main simulated company: ``simulated-ACCOUNTS-MONTHS-SEED``.
    small : tuple of tuple of str
        The small companies, one tuple per number of accounts.
    permutations : int
        How often the outcomes of the OpenStack log are permuted among accounts.
    rows : tuple of int
        Snapshots of the generated matrices, ascending.
    """

    simulated: str
    small: tuple[tuple[str, ...], ...]
    permutations: int
    rows: tuple[int, ...]


def build_plan(*, small: bool, seeds: Sequence[int]) -> BenchPlan:
    """Build the full plan, or a smoke test.

    ``seeds`` is the number of small companies: one number per size (0: none), or one for all.
    """
    if small:
        return BenchPlan(
            "simulated-300-36-1", (_name_companies(120, 36, 2),), 2, (2_000, 4_000, 8_000)
        )
    counts = seeds if len(seeds) == len(_SIZES) else [seeds[0]] * len(_SIZES)
    sizes = tuple(_name_companies(size, 36, n) for size, n in zip(_SIZES, counts, strict=True) if n)
    return BenchPlan("simulated-1500-36-101", sizes, 10, (125_000, 250_000, 500_000))


def _name_companies(accounts: int, months: int, seeds: int) -> tuple[str, ...]:
    return tuple(f"simulated-{accounts}-{months}-{seed}" for seed in range(1, seeds + 1))

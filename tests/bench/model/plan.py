"""How large the bench is, and which companies it looks at. Imports nothing heavy: see ``run``."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["OPENSTACK", "Plan", "of"]

OPENSTACK = "openstack"
_SIZES = (200, 500, 2_000)  # accounts


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes
    ----------
    simulated : str
        The simulated company of which most is told: ``simulated-ACCOUNTS-MONTHS-SEED``.
    small : tuple of tuple of str
        The small companies, one tuple per number of accounts.
    shuffles : int
        How often the outcomes of the OpenStack log are dealt to other accounts.
    rows : tuple of int
        Snapshots of the made-up matrices, rising.
    """

    simulated: str
    small: tuple[tuple[str, ...], ...]
    shuffles: int
    rows: tuple[int, ...]


def of(*, small: bool, seeds: Sequence[int]) -> Plan:
    """Give the whole bench, or one that only tells whether it runs.

    ``seeds`` says how many small companies there are: one number for each size (0: none), or
    for every one.
    """
    if small:
        return Plan("simulated-300-36-1", (_companies(120, 36, 2),), 2, (2_000, 4_000, 8_000))
    often = seeds if len(seeds) == len(_SIZES) else [seeds[0]] * len(_SIZES)
    sizes = tuple(_companies(size, 36, n) for size, n in zip(_SIZES, often, strict=True) if n)
    return Plan("simulated-1500-36-101", sizes, 10, (125_000, 250_000, 500_000))


def _companies(accounts: int, months: int, seeds: int) -> tuple[str, ...]:
    return tuple(f"simulated-{accounts}-{months}-{seed}" for seed in range(1, seeds + 1))

"""How large the bench is, and which companies it looks at. Imports nothing heavy: see ``run``."""

from dataclasses import dataclass

__all__ = ["OPENSTACK", "Plan", "of"]

OPENSTACK = "openstack"


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


def of(*, small: bool, seeds: int) -> Plan:
    """Give the whole bench, or one that only tells whether it runs."""
    if small:
        return Plan("simulated-300-36-1", (_companies(120, 36, 2),), 2, (2_000, 4_000, 8_000))
    sizes = tuple(_companies(accounts, 36, seeds) for accounts in (200, 500, 2_000))
    return Plan("simulated-1500-36-101", sizes, 10, (125_000, 250_000, 500_000))


def _companies(accounts: int, months: int, seeds: int) -> tuple[str, ...]:
    return tuple(f"simulated-{accounts}-{months}-{seed}" for seed in range(1, seeds + 1))

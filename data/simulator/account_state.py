"""Account vectors of the simulator: constant traits and changing state.

Every field is a vector with one value per account, so that a thousand accounts, or a thousand
possible futures of one, advance in the same few array operations. Days count from 1970-01-01.
"""

from dataclasses import dataclass, fields
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FEATURES_IN_PLAN",
    "NEVER",
    "PLANS",
    "STEP_DAYS",
    "STEP_MONTHS",
    "AccountState",
    "AccountTraits",
    "Generator",
    "IntVector",
    "LifecycleStatus",
    "Vector",
    "create_empty_state",
    "sample_accounts",
    "select_accounts",
]

Vector = NDArray[np.float64]
IntVector = NDArray[np.int64]
Generator = np.random.Generator

# Five days divide the 30 days between as-ofs, so every as-of falls on a step boundary.
STEP_DAYS: Final = 5
STEP_MONTHS: Final = STEP_DAYS / 30
NEVER: Final = 1e9
PLANS: Final = ("free", "team", "business", "enterprise")
FEATURES_IN_PLAN: Final = np.array([10.0, 14.0, 24.0, 36.0])
FOUNDER_SHARE: Final = 0.62  # share that joins before the log starts
PLANNER_SHARE: Final = 0.34  # share that buys for its final size at first, then plateaus
DEVELOPER_SHARE: Final = 0.42  # share of the others that build on the API


class LifecycleStatus:
    """Stage of an account's contract lifecycle."""

    BEFORE, TRIAL, PAID, LAPSED, CHURNED = range(5)


@dataclass(frozen=True)
class AccountTraits:
    """Constant properties of an account."""

    sign_up_day: Vector  # day of the first sign-up
    trial_days: Vector
    potential_departments: Vector  # departments that could use the product
    department_size: Vector  # potential users per department
    invitation_rate: Vector  # invitations per user and month in an empty department
    leave_rate: Vector  # share of users who stop per month
    department_rate: Vector  # new departments per month, once the current ones are full
    planned_utilization: Vector  # target seat utilization of the first purchase; 0: buys as needed
    feature_rate: Vector  # features tried per month
    max_features: Vector  # adopted features at saturation
    automation_rate: Vector  # API automations built per month; 0: no developers
    max_automations: Vector  # API automations at saturation
    calls_per_automation: Vector  # API calls per automation and month
    integration_rate: Vector  # integrations connected per month


@dataclass(frozen=True)
class AccountState:
    """The state of an account at the start of a step."""

    status: Vector
    users: Vector  # active users
    departments: Vector  # reached so far
    features: Vector  # adopted so far
    automations: Vector
    integrations: Vector
    usage: Vector  # API calls per month
    user_trend: Vector  # net new users per month, smoothed
    department_trend: Vector  # new departments per month, smoothed
    feature_trend: Vector  # new features per month, smoothed
    usage_trend: Vector  # relative growth of API calls per month, smoothed
    plan: Vector  # index into PLANS
    seats: Vector
    limit: Vector  # API calls per month; infinite: not sold
    price: Vector  # index of the account's prices, 1 at first
    renewal: Vector  # day on which the trial or the contract year ends
    last_purchase: Vector  # day of the last purchase; the hazard recovers from then on
    pending_start: Vector  # day on which signed seats come into force
    pending_seats: Vector

    @property
    def is_paying(self) -> NDArray[np.bool_]:
        """Accounts with a paid contract."""
        return np.asarray(self.status == LifecycleStatus.PAID)

    @property
    def is_active(self) -> NDArray[np.bool_]:
        """Accounts on trial or with a paid contract."""
        return np.asarray(
            (self.status == LifecycleStatus.TRIAL) | (self.status == LifecycleStatus.PAID)
        )

    @property
    def utilization(self) -> Vector:
        """Users over licensed seats, not clipped."""
        return np.asarray(self.users / np.maximum(self.seats, 1))


Vectors = TypeVar("Vectors")


def select_accounts(vectors: Vectors, index: IntVector) -> Vectors:
    """Return a dataclass of vectors for the accounts of an index, in its order; repeats copy."""
    names = [f.name for f in fields(vectors)]  # type: ignore[arg-type]
    return type(vectors)(**{name: getattr(vectors, name)[index] for name in names})


def create_empty_state(accounts: int) -> AccountState:
    """Create the state of accounts that have not signed up yet."""
    not_zero = {
        "limit": np.inf,
        "price": 1.0,
        "renewal": NEVER,
        "pending_start": NEVER,
        "last_purchase": -NEVER,
    }
    return AccountState(
        **{f.name: np.full(accounts, not_zero.get(f.name, 0.0)) for f in fields(AccountState)}
    )


def sample_accounts(
    accounts: int, days: tuple[float, float, float], rng: Generator
) -> AccountTraits:
    """Sample the accounts of a company, sorted by sign-up, so that account numbers rise with time.

    ``days`` are the first day on which an account may join, the log's first day, and its end. More
    than half have joined by the log's first day.
    """
    first, log_start, end = days
    founder = rng.random(accounts) < FOUNDER_SHARE
    early = rng.uniform(first, log_start, accounts)
    late = rng.uniform(log_start, end - 10, accounts)
    planner = rng.random(accounts) < PLANNER_SHARE
    developer = ~planner & (rng.random(accounts) < DEVELOPER_SHARE)
    return AccountTraits(
        sign_up_day=np.sort(np.floor(np.where(founder, early, late))),
        trial_days=rng.choice([14.0, 21.0, 30.0], accounts),
        potential_departments=rng.choice(
            np.arange(1.0, 6.0), accounts, p=[0.3, 0.25, 0.2, 0.15, 0.1]
        ),
        department_size=np.clip(rng.lognormal(np.log(11), 0.7, accounts), 3, 90),
        invitation_rate=rng.lognormal(np.log(0.33), 0.4, accounts),
        leave_rate=rng.uniform(0.005, 0.025, accounts),
        department_rate=rng.lognormal(np.log(0.022), 0.6, accounts),
        planned_utilization=np.where(planner, rng.uniform(0.84, 0.91, accounts), 0.0),
        feature_rate=rng.lognormal(np.log(0.6), 0.6, accounts),
        max_features=np.where(planner, 9.0, rng.uniform(7, 36, accounts)),
        automation_rate=np.where(developer, rng.lognormal(np.log(0.3), 0.5, accounts), 0.0),
        max_automations=rng.integers(2, 16, accounts).astype(float),
        calls_per_automation=rng.lognormal(np.log(5_000), 0.8, accounts),
        integration_rate=rng.lognormal(np.log(0.15), 0.6, accounts),
    )

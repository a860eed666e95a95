"""A simulated company whose panel is random: accounts with full seats buy more."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from data.config.settings import EvaluationConfig, ModelConfig, OutcomeConfig, Settings
from features.catalogue import FEATURE_NAMES
from tests.tables import build_timeline
from training.evaluation import evaluate, splits
from training.evaluation.evaluate import EvaluationResult
from training.evaluation.reference_models import REFERENCE_MODELS
from training.model import propensity

START = date(2024, 1, 1)
RULES = OutcomeConfig(revert_days=0)
SETTINGS = Settings(
    outcome=RULES,
    model=ModelConfig(
        ensemble_size=3,
        n_estimators=40,
        learning_rate=0.1,
        min_child_samples=10,
        horizons_days=(14, 30, 60, 90, 180),
    ),
    evaluation=EvaluationConfig(refit_months=3, capacity=5, n_bootstrap=20),
)


def change_section(settings: Settings, section: str, **values: Any) -> Settings:
    """Return the settings with other values in one section."""
    changed = getattr(settings, section).model_copy(update=values)
    return settings.model_copy(update={section: changed})


@dataclass(frozen=True)
class SimulatedHistory:
    """Snapshots of every account on a 30-day grid, and the contracts that follow from them."""

    snapshots: pl.DataFrame
    contracts: pl.DataFrame

    @property
    def end(self) -> datetime:
        return splits.to_utc_midnight(self.snapshots["as_of"].max())  # type: ignore[arg-type]

    def training_set(self, cutoff: datetime | None = None) -> splits.TrainingSet:
        return splits.build_training_set(self.snapshots, self.contracts, cutoff or self.end, RULES)

    def evaluate(
        self, settings: Settings, *, end: datetime | None = None, **options: Any
    ) -> EvaluationResult:
        """Evaluate without reference models unless they are given."""
        return evaluate.evaluate_walk_forward(
            self.snapshots,
            self.contracts,
            settings,
            end=end or self.end,
            **{"reference_models": {}, **options},
        )

    def fit(self, settings: ModelConfig = SETTINGS.model, **changes: int) -> propensity.Propensity:
        model_settings = settings.model_copy(update=changes)
        return propensity.fit_propensity(self.training_set(), model_settings, horizon_days=60)


def _simulate_history(strength: float, accounts: int, months: int, seed: int) -> SimulatedHistory:
    rng = np.random.default_rng(seed)
    ids = [f"acc_{number:03}" for number in range(accounts)]
    as_ofs = [START + timedelta(days=30 * month) for month in range(months)]
    table = pl.DataFrame({"account_id": ids}).join(pl.DataFrame({"as_of": as_ofs}), how="cross")
    values_by_feature = {name: rng.normal(size=table.height) for name in FEATURE_NAMES}
    values_by_feature["seat_utilization"] = rng.uniform(0, 1.2, size=table.height)
    gaps = rng.uniform(size=table.height) < 0.3
    snapshots = table.with_columns(
        pl.Series(name, values) for name, values in values_by_feature.items()
    ).with_columns(
        mrr=pl.lit(None, pl.Float64),
        plan_rank=1.0,
        champion_share_90d=pl.when(~pl.Series(gaps)).then("logins_30d"),
    )
    margin = -2.5 + strength * (values_by_feature["seat_utilization"] - 0.6) * 6
    buys = rng.uniform(size=table.height) < 1 / (1 + np.exp(-margin))
    days = rng.integers(0, 30, size=table.height)
    purchases = snapshots.select("account_id", "as_of").with_columns(
        buys=pl.Series(buys), day=pl.col("as_of") + pl.Series(days) * pl.duration(days=1)
    )
    first = [(name, START - timedelta(days=400), 10.0) for name in ids]
    later = [
        (name, day, 10.0 + 5 * (number + 1))
        for (name,), rows in purchases.filter("buys").group_by("account_id", maintain_order=True)
        for number, day in enumerate(rows["day"].sort())
    ]
    contracts = build_timeline(
        [
            {
                "account_id": name,
                "effective_date": splits.to_utc_midnight(day),
                "licensed_seats": seats,
            }
            for name, day, seats in first + later
        ]
    )
    return SimulatedHistory(snapshots.sort("as_of", "account_id"), contracts)


@pytest.fixture(scope="session")
def history() -> SimulatedHistory:
    """A company in which accounts with full seats buy more, with noise."""
    return _simulate_history(strength=1.0, accounts=60, months=16, seed=1)


@pytest.fixture(scope="session")
def noise() -> SimulatedHistory:
    """A company in which no feature predicts a purchase."""
    return _simulate_history(strength=0.0, accounts=60, months=16, seed=2)


@pytest.fixture(scope="session")
def fitted(history: SimulatedHistory) -> propensity.Propensity:
    return history.fit()


@pytest.fixture(scope="session")
def settings() -> Settings:
    return SETTINGS


@pytest.fixture(scope="session")
def late_settings(settings: Settings) -> Settings:
    """Settings that test the last half of the history, at three cutoffs."""
    return change_section(settings, "evaluation", first_as_of=START + timedelta(days=30 * 7))


@pytest.fixture(scope="session")
def steps() -> list[tuple[int, int]]:
    """Progress of the evaluation."""
    return []


@pytest.fixture(scope="session")
def evaluation(
    history: SimulatedHistory, late_settings: Settings, steps: list[tuple[int, int]]
) -> EvaluationResult:
    """Evaluation of the company in which accounts with full seats buy more."""
    return history.evaluate(
        late_settings,
        reference_models=REFERENCE_MODELS,
        progress=lambda done, total: steps.append((done, total)),
    )

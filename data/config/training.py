"""Settings of labels, eligibility, the model, evaluation, promotion, backtest and registry."""

from datetime import date
from typing import Final

from pydantic import Field, model_validator

from data.config.base import MONTH_DAYS, ConfigSection

__all__ = [
    "BacktestConfig",
    "EligibilityConfig",
    "EvaluationConfig",
    "GateConfig",
    "ModelConfig",
    "OutcomeConfig",
    "RegistryConfig",
    "TeamConfig",
]

# Features with an unambiguous sign. Constraining more features did not improve the model.
_MONOTONE_FEATURES: Final = (
    "seat_utilization",
    "seat_days_above_80_percent",
    "seat_agreement_60d",
    "seat_headroom_months",
    "new_users_per_seat_90d",
    "days_since_new_user",
    "features_new_60d",
    "first_uses_established_60d",
    "features_spread_60d",
    "advanced_users_new_60d",
    "api_growth_30d",
    "usage_ratio",
    "usage_months_above_80_percent",
    "departments_new_90d",
)


class OutcomeConfig(ConfigSection):
    """Label definition: what counts as an expansion, and the horizon."""

    horizon_days: int = Field(60, ge=7, le=180, description="Days after the as-of, end excluded.")
    min_increase: float = Field(
        0.0,
        ge=0,
        le=10,
        description="Least relative increase of seats, usage limit or revenue, as a share.",
    )
    revert_days: int = Field(
        7, ge=0, le=90, description="An increase reverted within this many days does not count."
    )
    booking_lag_days: int = Field(
        0, ge=0, le=90, description="Days by which bookings arrive late; label windows wait."
    )
    plans: tuple[str, ...] = Field(
        (), description="Plans in ascending order; empty: ordered by their MRR."
    )


class EligibilityConfig(ConfigSection):
    """Accounts that are trained on and scored; the others are counted by reason."""

    max_inactive_days: int = Field(
        90,
        ge=30,
        le=360,
        multiple_of=MONTH_DAYS,
        description="Accounts without an event for this many days are not eligible.",
    )
    burn_in_days: int = Field(
        180, ge=0, le=720, description="First days of the log that are not trained on."
    )


class ModelConfig(ConfigSection):
    """Hyper-parameters of the model. The defaults suit a small history."""

    horizons_days: tuple[int, ...] = Field(
        (14, 30, 60, 120, 180),
        description="Horizons of the cumulative incidence, in addition to outcome.horizon_days; a"
        " single horizon gives a plain classifier for outcome.horizon_days.",
    )
    weekly_anchors: int = Field(1, ge=1, le=4, description="30-day grids pooled, 7 days apart.")
    ensemble_size: int = Field(
        10, ge=2, le=50, description="Ensemble members, each fitted on a bootstrap of accounts."
    )
    n_estimators: int = Field(220, ge=10, le=5000, description="Trees per ensemble member.")
    learning_rate: float = Field(0.03, gt=0, le=1, description="Shrinkage per tree.")
    num_leaves: int = Field(8, ge=2, le=256, description="Leaves per tree.")
    min_child_samples: int = Field(100, ge=1, le=100_000, description="Least snapshots per leaf.")
    feature_fraction: float = Field(
        0.5, gt=0, le=1, description="Share of the columns sampled per tree."
    )
    bagging_fraction: float = Field(
        0.7, gt=0, le=1, description="Share of the rows sampled per tree."
    )
    reg_lambda: float = Field(10.0, ge=0, le=1e6, description="L2 penalty on leaf values.")
    ridge_penalty: float = Field(
        100.0,
        gt=0,
        le=1e9,
        description="L2 penalty on the logistic regression's weights, of standardized columns.",
    )
    blend_prior_accounts: float = Field(
        30.0,
        ge=0,
        le=1e6,
        description="Default blend weight of the logistic regression: this ÷ (this + expanded"
        " accounts); used until the walk-forward validation selects one.",
    )
    residual_logit_sd: float = Field(
        0.77,
        ge=0,
        le=5,
        description="Residual standard deviation of the logit between accounts with equal"
        " features.",
    )
    monotone_features: tuple[str, ...] = Field(
        _MONOTONE_FEATURES,
        description="Features with a monotone constraint in the catalogue's expected direction.",
    )
    seed: int = Field(7, ge=0, description="Random seed: same data, same seed, same bytes.")

    @model_validator(mode="after")
    def _validate_horizons(self) -> "ModelConfig":
        if list(self.horizons_days) != sorted(set(self.horizons_days)) or not self.horizons_days:
            raise ValueError("horizons_days must be an ascending list of days")
        if not 1 <= self.horizons_days[0] <= self.horizons_days[-1] <= 180:
            raise ValueError("horizons_days must lie between 1 and 180 days")
        return self


class EvaluationConfig(ConfigSection):
    """Walk-forward validation and the bootstrap of its metrics."""

    first_as_of: date | None = Field(
        None, description="First as-of of the test period; default: the last third of the history."
    )
    refit_months: int = Field(6, ge=1, le=36, description="30-day months between two cutoffs.")
    capacity: int = Field(20, ge=1, description="Accounts a team can work per 30-day as-of.")
    n_bootstrap: int = Field(
        200, ge=20, le=10_000, description="Bootstrap resamples per confidence interval."
    )


class TeamConfig(ConfigSection):
    """CSM capacity: number of CSMs, hours and minutes per account."""

    csms: int | None = Field(
        None, ge=1, description="Number of CSMs; default: those named in the accounts table."
    )
    hours_per_month: float | None = Field(
        None,
        gt=0,
        le=720,
        description="Hours per CSM for expansion in 30 days; determines the capacity.",
    )
    minutes_per_account: float = Field(
        60, gt=0, le=10_000, description="Minutes to work one account."
    )


class GateConfig(ConfigSection):
    """Promotion gate: criteria a model must meet before it is promoted."""

    tolerance: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Relative loss of precision at capacity against a baseline that still passes.",
    )
    confidence: float = Field(
        0.9,
        gt=0.5,
        lt=1,
        description="Confidence level of the bounds: two-sided for the skill, else one-sided.",
    )


class BacktestConfig(ConfigSection):
    """Historical backtest: parameters of the strategies that compete with the model."""

    cooldown_days: int = Field(
        60,
        ge=1,
        le=360,
        description="Days without outreach after an account was contacted; one horizon, so that"
        " one expansion is not pitched twice.",
    )
    detection_window_days: int = Field(
        60,
        ge=1,
        le=180,
        description="Days after a flag in which an expansion counts as detected, the flag's day"
        " included; the model's horizon.",
    )
    review_minutes: float = Field(
        2.0,
        gt=0,
        le=480,
        description="Minutes to check one account in a manual review: find its row, and compare"
        " use with the contract.",
    )
    rule_utilization: float = Field(
        0.8, gt=0, le=2, description="Utilization at which the CRM and event rules fire."
    )


class RegistryConfig(ConfigSection):
    """Storage of experiments, trials and models."""

    tracking_uri: str | None = Field(
        None, repr=False, description="MLflow tracking URI; default: mlflow.db in the state folder."
    )
    tuning_url: str | None = Field(
        None,
        repr=False,
        description="SQLAlchemy URL of the trials; default: search.db in the state folder.",
    )
    experiment: str = Field("expansion", description="MLflow experiment.")
    model: str = Field("expansion", description="Registered model.")

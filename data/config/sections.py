"""The sections of ``expansion.toml``: what may be set, in which bounds, with which default.

Every setting has a unit, a bound, a default that works for the simulator, and one line of
description.
"""

from collections.abc import Mapping
from datetime import date
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "MONTH_DAYS",
    "AdoptionConfig",
    "BacktestConfig",
    "ColumnsConfig",
    "ConfigSection",
    "Eligibility",
    "EngineConfig",
    "EvaluationConfig",
    "Gate",
    "ModelConfig",
    "Outcome",
    "RegistryConfig",
    "Roles",
    "Scoring",
    "Seats",
    "SqlQuery",
    "TablesConfig",
    "Team",
]

MONTH_DAYS: Final = 30
# Where the sign is plain on its own. Holding more of what the catalogue expects was no better.
_MONOTONE_FEATURES = (
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


class ConfigSection(BaseModel):
    """Frozen, and without room for what we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SqlQuery(ConfigSection):
    """A table that lives in a SQL database."""

    url: str = Field(repr=False, description="SQLAlchemy URL; keep the password in ${A_VARIABLE}.")
    query: str = Field(description="The SELECT that yields the table.")


TableSource = str | tuple[str, ...] | SqlQuery


class TablesConfig(ConfigSection):
    """Where the four tables are: a path, a glob, a list of them, an s3:// URL, or a query."""

    folder: str = Field(".", description="Paths start here; itself relative to the settings file.")
    events: TableSource = Field("events/*.parquet", description="The product log.")
    subscriptions: TableSource = Field("subscriptions.parquet", description="The contract history.")
    accounts: TableSource = Field("accounts.parquet", description="The customer companies.")
    users: TableSource | None = Field(None, description="The people, where known.")
    time_zone: str | None = Field(
        None, description="Zone of times stored without one; without it they are refused."
    )
    known_at_reliable_from: date | None = Field(
        None, description="Earlier known_at stamps are a first bulk load and are not believed."
    )
    time_invariant_attributes: tuple[
        Literal["department", "email_domain", "seat_type", "segment"], ...
    ] = Field(
        (),
        description="Attributes that never change: of users, else they are not features, and the"
        " accounts' segment, else nothing is told of it.",
    )
    max_quarantine_share: float = Field(
        0.05, ge=0, le=1, description="Share of a table's rows above which the run stops."
    )


class ColumnsConfig(ConfigSection):
    """Our column names on the left, the warehouse's on the right."""

    events: Mapping[str, str] = Field({}, description="e.g. timestamp = 'occurred_at'.")
    subscriptions: Mapping[str, str] = Field({}, description="e.g. usage_limit = 'api_limit'.")
    accounts: Mapping[str, str] = Field({}, description="e.g. csm = 'owner_email'.")
    users: Mapping[str, str] = Field({}, description="e.g. created_at = 'created_date'.")


class Roles(ConfigSection):
    """Which event names play which role; every other name is feature use."""

    api_call: tuple[str, ...] = ("api_call", "api_request")
    integration: tuple[str, ...] = ("integration", "integration_sync", "integration_connected")
    user_added: tuple[str, ...] = ("user_added", "user_created", "invite_accepted")
    user_removed: tuple[str, ...] = ("user_removed", "user_deactivated")
    login: tuple[str, ...] = ("login", "sign_in")
    support_ticket: tuple[str, ...] = ("support_ticket", "ticket")
    nps: tuple[str, ...] = ("nps", "nps_response")

    @model_validator(mode="after")
    def _validate_unique_roles(self) -> "Roles":
        names = [name for role in type(self).model_fields for name in getattr(self, role)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"event name(s) with two roles: {', '.join(twice)}")
        return self

    def map_event_names(self) -> dict[str, str]:
        """Event name → role, for the names that have one."""
        return {name: role for role in type(self).model_fields for name in getattr(self, role)}


class Seats(ConfigSection):
    """What makes a paid seat an active one."""

    events: tuple[str, ...] = Field(
        (), description="Event names that make a seat active; empty: any feature use."
    )
    window_days: int = Field(
        MONTH_DAYS,
        ge=MONTH_DAYS,
        le=360,
        multiple_of=MONTH_DAYS,
        description="A seat is active when used in the last so many days; whole 30-day months.",
    )


class AdoptionConfig(ConfigSection):
    """Which features are advanced: the ones that deepen the use."""

    advanced_features: tuple[str, ...] = Field(
        (), description="Names of the advanced features; empty: those that few accounts had used."
    )
    advanced_max_share: float = Field(
        0.25, ge=0, le=1, description="Few: at most this share of the accounts, as of the day."
    )


class Outcome(ConfigSection):
    """What counts as an expansion, and how soon."""

    horizon_days: int = Field(60, ge=7, le=180, description="Days after the as-of, end excluded.")
    min_increase: float = Field(
        0.0, ge=0, le=10, description="Least rise of seats, limit or revenue, as a share."
    )
    revert_days: int = Field(
        7, ge=0, le=90, description="A rise undone within so many days never happened."
    )
    booking_lag_days: int = Field(
        0, ge=0, le=90, description="Days by which bookings reach us late; windows wait for them."
    )
    plans: tuple[str, ...] = Field((), description="Plans in rising order; else by their MRR.")


class Eligibility(ConfigSection):
    """Which accounts are trained on and scored; the others are counted by reason."""

    silent_days: int = Field(
        90, ge=30, le=360, multiple_of=MONTH_DAYS, description="No event for so long: not eligible."
    )
    burn_in_days: int = Field(
        180, ge=0, le=720, description="First days of the log that are not trained on."
    )


class ModelConfig(ConfigSection):
    """How the probability is learned. The defaults are those of a small history."""

    horizons_days: tuple[int, ...] = Field(
        (14, 30, 60, 120, 180),
        description="Horizons of the curve, beside outcome.horizon_days; a single one, whichever it"
        " is, gives the plain classifier of the latter.",
    )
    weekly_anchors: int = Field(1, ge=1, le=4, description="30-day grids pooled, 7 days apart.")
    ensemble_size: int = Field(
        10, ge=2, le=50, description="Account bootstraps, a booster on each."
    )
    n_estimators: int = Field(220, ge=10, le=5000, description="Trees per booster.")
    learning_rate: float = Field(0.03, gt=0, le=1, description="Shrinkage per tree.")
    num_leaves: int = Field(8, ge=2, le=256, description="Leaves per tree.")
    min_child_samples: int = Field(
        100, ge=1, le=100_000, description="Snapshots per leaf, at least."
    )
    feature_fraction: float = Field(0.5, gt=0, le=1, description="Columns offered to a tree.")
    bagging_fraction: float = Field(0.7, gt=0, le=1, description="Rows offered to a tree.")
    reg_lambda: float = Field(10.0, ge=0, le=1e6, description="Ridge on leaf values.")
    ridge_penalty: float = Field(
        100.0,
        gt=0,
        le=1e9,
        description="Ridge on the regression's weights, of columns of spread 1.",
    )
    blend_prior_accounts: float = Field(
        30.0,
        ge=0,
        le=1e6,
        description="The regression's share of the log-odds is this ÷ (this + accounts that it"
        " happened to), unless history tells.",
    )
    residual_logit_sd: float = Field(
        0.77, ge=0, le=5, description="Spread of the log-odds between accounts that look alike."
    )
    monotone_features: tuple[str, ...] = Field(
        _MONOTONE_FEATURES,
        description="Features held to act in the direction that the catalogue expects.",
    )
    seed: int = Field(7, ge=0, description="Same data, same seed, same bytes.")

    @model_validator(mode="after")
    def _validate_horizons(self) -> "ModelConfig":
        if list(self.horizons_days) != sorted(set(self.horizons_days)) or not self.horizons_days:
            raise ValueError("horizons_days must be a rising list of days")
        if not 1 <= self.horizons_days[0] <= self.horizons_days[-1] <= 180:
            raise ValueError("horizons_days must lie between 1 and 180 days")
        return self


class EvaluationConfig(ConfigSection):
    """The walk through history that tells what the model is worth."""

    first_as_of: date | None = Field(None, description="First as-of judged; else the last third.")
    refit_months: int = Field(6, ge=1, le=36, description="30-day months between two cuts.")
    capacity: int = Field(20, ge=1, description="Accounts a team can work per 30-day as-of.")
    n_bootstrap: int = Field(200, ge=20, le=10_000, description="Bootstraps per interval.")


class Team(ConfigSection):
    """Who works the list, and how long it takes: from it follows the capacity."""

    csms: int | None = Field(
        None, ge=1, description="Customer-success managers; else those the accounts table names."
    )
    hours_per_month: float | None = Field(
        None, gt=0, le=720, description="Hours each has for expansion in 30 days; sets capacity."
    )
    minutes_per_account: float = Field(
        60, gt=0, le=10_000, description="Minutes that one worked account takes."
    )


class Gate(ConfigSection):
    """What a model must show before it is promoted."""

    tolerance: float = Field(
        0.1, ge=0, lt=1, description="Share by which precision at capacity may fall behind a rival."
    )
    confidence: float = Field(
        0.9,
        gt=0.5,
        lt=1,
        description="Of the bounds to be cleared: two-sided of the skill, else one-sided.",
    )


class BacktestConfig(ConfigSection):
    """The replay of history: how the ways of working that compete with the model go."""

    cooldown_days: int = Field(
        60,
        ge=1,
        le=360,
        description="An account that was worked is left alone for so long: a horizon, so that one"
        " expansion is not asked about twice.",
    )
    detection_window_days: int = Field(
        60,
        ge=1,
        le=180,
        description="A flag counts for an expansion of so many days, its own included: the horizon"
        " that the model is asked about.",
    )
    review_minutes: float = Field(
        2.0,
        gt=0,
        le=480,
        description="To look at one account in a manual review: find its row, and hold use against"
        " the contract.",
    )
    review_share: float = Field(
        0.75, gt=0, le=2, description="Share of the limit above which a manual review takes note."
    )
    rule_utilization: float = Field(
        0.8, gt=0, le=2, description="Share of the limit at which the CRM and event rules fire."
    )
    rule_min_days: int = Field(
        3, ge=1, le=90, description="Days in a row that the event rule waits for."
    )


class Scoring(ConfigSection):
    """The weekly job."""

    max_log_age_days: int = Field(
        7, ge=1, le=365, description="A log that ended longer before the as-of is refused."
    )
    lead_days: int = Field(
        21, ge=0, le=180, description="An expansion conversation starts so long before it."
    )
    date_width_days: int = Field(
        130, ge=1, le=180, description="Widest 80 % interval for which a date is still shown."
    )
    date_min_probability: float = Field(
        0.1, ge=0, le=1, description="Least chance within 180 days for which a date is shown."
    )
    rank_by: Literal["probability", "expected_arr", "expected_arr_per_minute"] = Field(
        "probability",
        description="What comes first: the likeliest, or the most revenue expected, by the account"
        " or by the minute that its motion takes (playbook.motion_minutes).",
    )
    low_evidence_days: int = Field(
        90, ge=0, le=720, description="A customer for less than so long: little history, and said."
    )
    low_evidence_events: int = Field(
        10, ge=0, le=10_000, description="Fewer events in the last 30 days: little use, and said."
    )
    low_evidence_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="So many of the features that most accounts have are missing: said.",
    )
    ui_strings: Mapping[str, str] = Field(
        {},
        description="Your own words beside the reasons; serving/scoring/text/ui_strings.toml lists them.",
    )
    reason_templates: str | None = Field(
        None,
        description="TOML file of your own words for the reasons, relative to the settings file;"
        " `expansion features --sentences` prints what it starts from.",
    )


class EngineConfig(ConfigSection):
    """Where the log is read: on this machine, or on a cluster."""

    kind: Literal["polars", "spark"] = Field("polars", description="Who reads the log.")
    master: str = Field(
        "local[*]",
        description="Spark's master, such as spark://host:7077 or yarn; spark-submit's own holds.",
    )
    options: Mapping[str, str] = Field(
        {}, description="Spark's settings, e.g. 'spark.executor.memory' = '8g'."
    )
    task_rows: int = Field(
        1_000_000, ge=100, description="Rows that one Spark task reads of a Parquet file, or folds."
    )

    @model_validator(mode="after")
    def _validate_master(self) -> "EngineConfig":
        if self.master.startswith("sc://"):
            raise ValueError("expected a master that runs the driver here, not Spark Connect")
        return self


class RegistryConfig(ConfigSection):
    """Where experiments and models live."""

    tracking_uri: str | None = Field(
        None, repr=False, description="MLflow tracking URI; else mlflow.db in the state folder."
    )
    tuning_url: str | None = Field(
        None,
        repr=False,
        description="SQLAlchemy URL of the trials; else search.db in the state folder.",
    )
    experiment: str = Field("expansion", description="MLflow experiment.")
    model: str = Field("expansion", description="Registered model.")

"""Settings of the input tables, event roles, seats, advanced features and the engine."""

from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from data.config.base import MONTH_DAYS, ConfigSection

__all__ = [
    "AdoptionConfig",
    "ColumnsConfig",
    "EngineConfig",
    "RolesConfig",
    "SeatsConfig",
    "SqlQuery",
    "TablesConfig",
]


class SqlQuery(ConfigSection):
    """A table read by a SQL query."""

    url: str = Field(repr=False, description="SQLAlchemy URL; keep the password in ${A_VARIABLE}.")
    query: str = Field(description="The SELECT statement of the table.")


TableSource = str | tuple[str, ...] | SqlQuery


class TablesConfig(ConfigSection):
    """Locations of the four tables: a path, a glob, a list of them, an s3:// URL, or a query."""

    folder: str = Field(
        ".", description="Base folder of the paths; itself relative to the settings file."
    )
    events: TableSource = Field("events/*.parquet", description="The product log.")
    subscriptions: TableSource = Field(
        "subscriptions.parquet", description="The subscription history."
    )
    accounts: TableSource = Field("accounts.parquet", description="The customer companies.")
    users: TableSource | None = Field(None, description="The users, if known.")
    time_zone: str | None = Field(
        None, description="Time zone of naive timestamps; they are rejected if it is not set."
    )
    known_at_reliable_from: date | None = Field(
        None, description="Earlier known_at stamps belong to a bulk load and are ignored."
    )
    time_invariant_attributes: tuple[
        Literal["department", "email_domain", "seat_type", "segment"], ...
    ] = Field(
        (),
        description="Attributes that never change. Other user attributes are not used as features,"
        " and another segment is not evaluated.",
    )
    max_quarantine_share: float = Field(
        0.05, ge=0, le=1, description="Share of a table's rows above which the run stops."
    )


class ColumnsConfig(ConfigSection):
    """Column mapping: schema column name = source column name."""

    events: Mapping[str, str] = Field({}, description="e.g. timestamp = 'occurred_at'.")
    subscriptions: Mapping[str, str] = Field({}, description="e.g. usage_limit = 'api_limit'.")
    accounts: Mapping[str, str] = Field({}, description="e.g. csm = 'owner_email'.")
    users: Mapping[str, str] = Field({}, description="e.g. created_at = 'created_date'.")


class RolesConfig(ConfigSection):
    """Event names by role; every other name is feature use."""

    api_call: tuple[str, ...] = Field(
        ("api_call", "api_request"), description="Machine use, counted as volume."
    )
    integration: tuple[str, ...] = Field(
        ("integration", "integration_sync", "integration_connected"),
        description="An integration was connected or ran.",
    )
    user_added: tuple[str, ...] = Field(
        ("user_added", "user_created", "invite_accepted"),
        description="A user was invited or created.",
    )
    user_removed: tuple[str, ...] = Field(
        ("user_removed", "user_deactivated"), description="A user was removed or deactivated."
    )
    login: tuple[str, ...] = Field(
        ("login", "sign_in"), description="A sign-in; no feature use, and not used by the model."
    )
    support_ticket: tuple[str, ...] = Field(
        ("support_ticket", "ticket"), description="A support ticket; not used by the model."
    )
    nps: tuple[str, ...] = Field(
        ("nps", "nps_response"), description="An NPS answer; not used by the model."
    )

    @model_validator(mode="after")
    def _validate_unique_roles(self) -> "RolesConfig":
        names = [name for role in type(self).model_fields for name in getattr(self, role)]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(f"event name(s) with two roles: {', '.join(duplicates)}")
        return self

    def map_event_names(self) -> dict[str, str]:
        """Return event name → role, for the names that have one."""
        return {name: role for role in type(self).model_fields for name in getattr(self, role)}


class SeatsConfig(ConfigSection):
    """Definition of an active paid seat."""

    events: tuple[str, ...] = Field(
        (), description="Event names that make a seat active; empty: any feature use."
    )
    window_days: int = Field(
        MONTH_DAYS,
        ge=MONTH_DAYS,
        le=360,
        multiple_of=MONTH_DAYS,
        description="A seat is active when used in this many days; whole 30-day months.",
    )


class AdoptionConfig(ConfigSection):
    """Definition of advanced features."""

    advanced_features: tuple[str, ...] = Field(
        (), description="Names of the advanced features; empty: the rarely used ones."
    )


class EngineConfig(ConfigSection):
    """Engine that reads the log: Polars on this machine, or Spark on a cluster."""

    kind: Literal["polars", "spark"] = Field("polars", description="Engine that reads the log.")
    master: str = Field(
        "local[*]",
        description="Spark master, such as spark://host:7077 or yarn; spark-submit's takes"
        " precedence.",
    )
    options: Mapping[str, str] = Field(
        {}, description="Spark settings, e.g. 'spark.executor.memory' = '8g'."
    )
    task_rows: int = Field(
        1_000_000, ge=100, description="Rows of a Parquet file that one Spark task reads."
    )

    @model_validator(mode="after")
    def _validate_master(self) -> "EngineConfig":
        if self.master.startswith("sc://"):
            raise ValueError("expected a master that runs the driver here, not Spark Connect")
        return self

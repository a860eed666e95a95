"""Sales playbook: binding limit, tier, motion (by rules or an alert), contact role and minutes."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

import polars as pl

from data.config.settings import Playbook
from training.rules import tiers

__all__ = [
    "LIMITS",
    "MOTIONS",
    "SUPPRESSED_MOTIONS",
    "apply_alerts",
    "assign_playbook",
    "contact_role",
    "motion_minutes",
]

LIMITS: Final = ("seats", "usage", "plan", "none")
MOTIONS: Final = {
    "seat add": "add seats: logistics, not persuasion; within two weeks",
    "volume upgrade": "plan or volume upgrade, within two weeks",
    "capabilities": "QBR or capabilities conversation",
    "consolidate": "no outreach now; look for new use cases",
    "retain": "no outreach now; retain the account first",
    "cooldown": "no outreach now; contacted recently or snoozed",
    "watch": "no tier rule fires; use the date and the reasons",
}
SUPPRESSED_MOTIONS: Final = ("consolidate", "retain", "cooldown")
_MOTION_BY_LIMIT: Final = {"seats": "seat add", "usage": "volume upgrade"}
_CONTACT_WITHIN: Final = timedelta(days=14)  # of an alert, as at tier 1


def assign_playbook(snapshots: pl.DataFrame, rules: Playbook) -> pl.DataFrame:
    """Assign ``limit``, ``tier`` (1, 2 or null) and ``motion`` to each snapshot of a panel."""
    seats, volume, leading, plateau = (
        rule.fill_null(value=False)
        for rule in (
            tiers.tier1_seats(rules),
            tiers.tier1_volume(rules),
            tiers.TIER2,
            _is_on_plateau(rules),
        )
    )
    motion = (
        pl.when(seats)
        .then(pl.lit("seat add"))
        .when(volume)
        .then(pl.lit("volume upgrade"))
        .when(plateau)
        .then(pl.lit("consolidate"))
        .when(leading)
        .then(pl.lit("capabilities"))
        .otherwise(pl.lit("watch"))
    )
    limit = _nearest_limit(seats, volume, leading, rules.limit_utilization)
    return snapshots.select(limit=limit, tier=tiers.account_tier(rules), motion=motion)


def apply_alerts(
    rows: pl.DataFrame, alerted_limits: Mapping[str, str], as_of: date
) -> pl.DataFrame:
    """Apply open alerts as if a tier 1 rule had fired.

    Accounts on a plateau are unchanged: high and flat utilization is no reason to sell.

    Reads and changes ``tier``, ``limit``, ``motion`` and ``readiness_date``, which is at most two
    weeks after the as-of. ``alerted_limits`` is account → limit, ``seats`` or ``usage``.
    """
    if not alerted_limits:
        return rows
    alerted_limit = pl.col("account_id").replace_strict(
        dict(alerted_limits), default=None, return_dtype=pl.String
    )
    applies = alerted_limit.is_not_null() & pl.col("motion").ne("consolidate")
    motion = alerted_limit.replace_strict(_MOTION_BY_LIMIT, default=None, return_dtype=pl.String)
    soon = pl.min_horizontal("readiness_date", pl.lit(as_of + _CONTACT_WITHIN))
    return rows.with_columns(
        tier=pl.when(applies).then(1).otherwise("tier").cast(pl.Int32),
        limit=pl.when(applies).then(alerted_limit).otherwise("limit"),
        motion=pl.when(applies).then(motion).otherwise("motion"),
        readiness_date=pl.when(applies).then(soon).otherwise("readiness_date"),
    )


def contact_role(motion: pl.Expr, contact_roles: Mapping[str, str]) -> pl.Expr:
    """Return the role to contact; null where outreach is suppressed.

    The frame must hold the columns that the new-department rule reads: where it fires, the
    capabilities conversation goes to the role for a new department.
    """
    spreading = motion.eq("capabilities") & tiers.NEW_DEPARTMENT.fill_null(value=False)
    roles = {_to_motion_name(name): role for name, role in contact_roles.items()}
    usual_role = motion.replace_strict(roles, default=None, return_dtype=pl.String)
    return pl.when(spreading).then(pl.lit(contact_roles["new_department"])).otherwise(usual_role)


def motion_minutes(motion: pl.Expr, minutes_per_motion: Mapping[str, float]) -> pl.Expr:
    """Return the CSM minutes that the motion takes."""
    minutes_by_motion = {_to_motion_name(name): value for name, value in minutes_per_motion.items()}
    return motion.replace_strict(minutes_by_motion, return_dtype=pl.Float64)


def _to_motion_name(name: str) -> str:
    """Return the display name of a motion from its setting name."""
    return name.replace("_", " ")


def _is_on_plateau(rules: Playbook) -> pl.Expr:
    """Return whether utilization is high and flat for long, without new users."""
    return (
        (pl.col("seat_utilization") >= rules.plateau_utilization)
        & (pl.col("plateau_months") * 30 >= rules.plateau_days)
        & (pl.col("new_users_90d") == 0)
    )


def _nearest_limit(seats: pl.Expr, volume: pl.Expr, leading: pl.Expr, share: float) -> pl.Expr:
    """Return the limit whose rule fires, else the one with the higher utilization."""
    seat_pressure = pl.col("seat_utilization").fill_null(0.0)
    usage_pressure = pl.col("usage_ratio").fill_null(0.0)
    return (
        pl.when(seats)
        .then(pl.lit("seats"))
        .when(volume)
        .then(pl.lit("usage"))
        .when(pl.max_horizontal(seat_pressure, usage_pressure) < share)
        .then(pl.when(leading).then(pl.lit("plan")).otherwise(pl.lit("none")))
        .when(seat_pressure >= usage_pressure)
        .then(pl.lit("seats"))
        .otherwise(pl.lit("usage"))
    )

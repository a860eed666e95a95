"""Tiers, limits and motions: hand-worked examples at the edges of their rules."""

from typing import Any

import polars as pl
import pytest

from data.config.settings import Playbook
from features.catalogue import FEATURE_NAMES
from serving.scoring import cold_start, playbook
from training.explain.templates import load_default_templates

QUIET: dict[str, float | None] = {
    "seat_utilization": 0.5,
    "new_users_30d": 0.0,
    "new_users_90d": 1.0,
    "plateau_months": 0.0,
    "usage_ratio": None,
    "api_growth_30d": None,
    "adoption_acceleration_60d": 0.0,
    "features_new_60d": 0.0,
    "departments_90d": 1.0,
    "departments_new_90d": 0.0,
    "integrations_growth_90d": 0.0,
}
FULL = {"seat_utilization": 0.95, "new_users_30d": 2.0}
FLAT = {"seat_utilization": 0.9, "plateau_months": 6.0, "new_users_90d": 0.0}
VOLUME = {"usage_ratio": 0.5, "api_growth_30d": 0.21}
ADOPTING = {"adoption_acceleration_60d": 1.0, "features_new_60d": 2.0}
SPREADING = {"departments_90d": 2.0, "departments_new_90d": 1.0}


def assign(
    *accounts: dict[str, Any], rules: Playbook | None = None
) -> list[tuple[str, int | None, str]]:
    """Return limit, tier and motion of each account."""
    table = pl.DataFrame(
        [QUIET | account for account in accounts], schema=dict.fromkeys(QUIET, pl.Float64)
    )
    return playbook.assign_playbook(table, rules or Playbook()).rows()


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        ({}, ("none", None, "watch")),
        (dict.fromkeys(QUIET), ("none", None, "watch")),
        # Seats: above 88 % and a new user in the last 30 days.
        (FULL, ("seats", 1, "seat add")),
        (FULL | {"seat_utilization": 0.88}, ("seats", None, "watch")),
        (FULL | {"seat_utilization": 0.881}, ("seats", 1, "seat add")),
        (FULL | {"new_users_30d": 0.0}, ("seats", None, "watch")),
        (FULL | {"seat_utilization": 1.4}, ("seats", 1, "seat add")),
        # Volume: 20 % above the previous month, with half of the limit used.
        (VOLUME, ("usage", 1, "volume upgrade")),
        (VOLUME | {"api_growth_30d": 0.2}, ("none", None, "watch")),
        (VOLUME | {"usage_ratio": None}, ("none", None, "watch")),
        (VOLUME | {"usage_ratio": 0.49}, ("none", None, "watch")),
        (VOLUME | {"usage_ratio": 0.8, "api_growth_30d": None}, ("usage", None, "watch")),
        (FULL | VOLUME, ("seats", 1, "seat add")),
        # Tier 2: two new features and faster adoption; a new department; a new integration.
        (ADOPTING, ("plan", 2, "capabilities")),
        (ADOPTING | {"features_new_60d": 1.0}, ("none", None, "watch")),
        (ADOPTING | {"adoption_acceleration_60d": 0.0}, ("none", None, "watch")),
        (SPREADING, ("plan", 2, "capabilities")),
        (SPREADING | {"departments_90d": 1.0}, ("none", None, "watch")),
        (SPREADING | {"departments_new_90d": 0.0}, ("none", None, "watch")),
        ({"integrations_growth_90d": 1.0}, ("plan", 2, "capabilities")),
        ({"integrations_growth_90d": -1.0}, ("none", None, "watch")),
        (ADOPTING | {"seat_utilization": 0.8}, ("seats", 2, "capabilities")),
        (ADOPTING | FULL, ("seats", 1, "seat add")),
        # High and flat for half a year without new users: outreach is suppressed.
        (FLAT, ("seats", None, "consolidate")),
        (FLAT | {"seat_utilization": 0.8}, ("seats", None, "consolidate")),
        (FLAT | {"seat_utilization": 0.79}, ("none", None, "watch")),
        (FLAT | {"plateau_months": 5.0}, ("seats", None, "watch")),
        (FLAT | {"new_users_90d": 1.0}, ("seats", None, "watch")),
        (FLAT | ADOPTING, ("seats", 2, "consolidate")),
        # A reached volume limit allows outreach even with flat seats.
        (FLAT | VOLUME, ("usage", 1, "volume upgrade")),
        # The limit is the one with the higher utilization.
        ({"seat_utilization": 0.81, "usage_ratio": 0.9}, ("usage", None, "watch")),
        ({"seat_utilization": 0.9, "usage_ratio": 0.9}, ("seats", None, "watch")),
    ],
)
def test_limit_tier_and_motion_match_hand_worked_examples(
    account: dict[str, Any], expected: tuple[str, int | None, str]
) -> None:
    assert assign(account) == [expected]


def test_accounts_are_assigned_independently_and_in_order() -> None:
    separately = [assign(account)[0] for account in (FULL, {}, FLAT, VOLUME)]

    assert assign(FULL, {}, FLAT, VOLUME) == separately


@pytest.mark.parametrize(
    ("account", "rules", "before", "after"),
    [
        (FLAT, {"plateau_days": 210}, "consolidate", "watch"),
        (FLAT, {"plateau_utilization": 0.91}, "consolidate", "watch"),
        (FULL, {"seat_utilization": 0.95}, "seat add", "watch"),
        (VOLUME, {"api_growth": 0.21}, "volume upgrade", "watch"),
        (VOLUME, {"usage_utilization": 0.51}, "volume upgrade", "watch"),
        (VOLUME | {"usage_ratio": 0.1}, {"usage_utilization": 0.1}, "watch", "volume upgrade"),
    ],
)
def test_every_threshold_is_a_setting(
    account: dict[str, Any], rules: dict[str, float], before: str, after: str
) -> None:
    motions = [assign(account, rules=each)[0][2] for each in (Playbook(), Playbook(**rules))]

    assert motions == [before, after]


def test_a_limit_is_near_from_the_configured_utilization() -> None:
    limits = [
        assign({"seat_utilization": 0.7}, rules=Playbook(limit_utilization=share))[0][0]
        for share in (0.7, 0.71)
    ]

    assert limits == ["seats", "none"]


def test_each_motion_has_minutes_and_each_outreach_motion_a_contact_role() -> None:
    motions = pl.DataFrame({"motion": list(playbook.MOTIONS)}).with_columns(
        departments_90d=2.0, departments_new_90d=0.0
    )
    motion = pl.col("motion")

    minutes = motions.select(playbook.motion_minutes(motion, Playbook().motion_minutes))["motion"]
    roles = dict(
        zip(
            motions["motion"],
            motions.select(playbook.contact_role(motion, Playbook().contact_roles)).to_series(),
            strict=True,
        )
    )

    assert minutes.null_count() == 0
    assert [name for name, role in roles.items() if role is None] == ["cooldown"]
    assert roles["volume upgrade"] == "developer who built the integration"


def test_a_new_department_is_part_of_a_capabilities_conversation() -> None:
    table = pl.DataFrame(
        {"motion": ["capabilities", "seat add"], "departments_90d": 2.0, "departments_new_90d": 1.0}
    )

    roles = table.select(role=playbook.contact_role(pl.col("motion"), Playbook().contact_roles))[
        "role"
    ].to_list()

    assert roles == ["champion and the new department", "department head or admin"]


def test_every_assigned_limit_and_motion_is_documented() -> None:
    assigned = assign({}, FULL, VOLUME, ADOPTING, SPREADING, FLAT)

    assert {limit for limit, _, _ in assigned} == set(playbook.LIMITS)
    assert {motion for _, _, motion in assigned} == set(playbook.MOTIONS) - {"retain", "cooldown"}


def test_without_a_model_tier_then_pressure_then_account_decide_the_rank() -> None:
    accounts = pl.DataFrame(
        {
            "account_id": ["a", "b", "c", "d", "e", "f"],
            "seat_utilization": [0.9, None, 0.1, 0.9, None, 0.2],
            "usage_ratio": [0.1, 0.95, None, None, None, None],
        }
    ).with_columns(
        pl.lit(None, pl.Float64).alias(name)
        for name in set(FEATURE_NAMES) - {"seat_utilization", "usage_ratio"}
    )
    tier = pl.Series("tier", [1, 1, 2, 1, 1, None], dtype=pl.Int32)

    ranked = cold_start.rank_by_tier_rules(accounts, tier, load_default_templates())

    order = accounts["account_id"].gather(ranked["rank_key"].arg_sort(descending=True))
    assert order.to_list() == ["b", "a", "d", "e", "c", "f"]
    assert ranked["probability"].null_count() == 6

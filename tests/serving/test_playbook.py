"""Tiers, limits and motions, worked out by hand on the edges of their rules."""

from typing import Any

import polars as pl
import pytest

from data.config.settings import ContactRoles, MotionMinutes, Playbook
from serving.scoring import playbook

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


def judged(*accounts: dict[str, Any]) -> list[tuple[str, int | None, str]]:
    rows = [QUIET | account for account in accounts]
    schema = dict.fromkeys(QUIET, pl.Float64)
    return playbook.assign_playbook(pl.DataFrame(rows, schema=schema), Playbook()).rows()


@pytest.mark.parametrize(
    ("account", "verdict"),
    [
        ({}, ("none", None, "watch")),
        # Seats: above 88 % and somebody new in the last 30 days.
        (FULL, ("seats", 1, "seat add")),
        (FULL | {"seat_utilization": 0.88}, ("seats", None, "watch")),
        (FULL | {"seat_utilization": 0.881}, ("seats", 1, "seat add")),
        (FULL | {"new_users_30d": 0.0}, ("seats", None, "watch")),
        (FULL | {"seat_utilization": 1.4}, ("seats", 1, "seat add")),
        # Volume: more than a fifth above the month before, with half of a limit used.
        (VOLUME, ("usage", 1, "volume upgrade")),
        (VOLUME | {"api_growth_30d": 0.2}, ("none", None, "watch")),
        (VOLUME | {"usage_ratio": None}, ("none", None, "watch")),
        (VOLUME | {"usage_ratio": 0.49}, ("none", None, "watch")),
        (VOLUME | {"usage_ratio": 0.8, "api_growth_30d": None}, ("usage", None, "watch")),
        (FULL | VOLUME, ("seats", 1, "seat add")),
        # Leading: two new features and more than before; a new department; a new integration.
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
        # High and flat for half a year, and nobody new: no ask.
        (FLAT, ("seats", None, "consolidate")),
        (FLAT | {"seat_utilization": 0.8}, ("seats", None, "consolidate")),
        (FLAT | {"seat_utilization": 0.79}, ("none", None, "watch")),
        (FLAT | {"plateau_months": 5.0}, ("seats", None, "watch")),
        (FLAT | {"new_users_90d": 1.0}, ("seats", None, "watch")),
        (FLAT | ADOPTING, ("seats", 2, "consolidate")),
        # A volume limit that is being hit is an ask of its own, however flat the seats.
        (FLAT | VOLUME, ("usage", 1, "volume upgrade")),
        # The limit is the one nearer to being reached.
        ({"seat_utilization": 0.81, "usage_ratio": 0.9}, ("usage", None, "watch")),
        ({"seat_utilization": 0.9, "usage_ratio": 0.9}, ("seats", None, "watch")),
    ],
)
def test_limit_tier_and_motion_are_as_worked_out_by_hand(
    account: dict[str, Any], verdict: tuple[str, int | None, str]
) -> None:
    assert judged(account) == [verdict]


def test_an_account_of_which_nothing_is_known_is_watched() -> None:
    assert judged(dict.fromkeys(QUIET)) == [("none", None, "watch")]


def test_accounts_are_judged_each_on_its_own_and_in_order() -> None:
    alone = [judged(account)[0] for account in (FULL, {}, FLAT, VOLUME)]

    assert judged(FULL, {}, FLAT, VOLUME) == alone


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
    table = pl.DataFrame([QUIET | account], schema=dict.fromkeys(QUIET, pl.Float64))

    found = [
        playbook.assign_playbook(table, each)["motion"][0]
        for each in (Playbook(), Playbook(**rules))
    ]

    assert found == [before, after]


def test_a_limit_is_one_from_the_share_that_the_settings_say() -> None:
    table = pl.DataFrame(
        [QUIET | {"seat_utilization": 0.7}], schema=dict.fromkeys(QUIET, pl.Float64)
    )

    limits = [
        playbook.assign_playbook(table, Playbook(limit_utilization=share))["limit"][0]
        for share in (0.7, 0.71)
    ]

    assert limits == ["seats", "none"]


def test_each_motion_has_its_minutes_and_each_ask_its_buyer() -> None:
    motions = pl.DataFrame({"motion": list(playbook.MOTIONS)}).with_columns(
        departments_90d=2.0, departments_new_90d=0.0
    )
    motion = pl.col("motion")

    taken = motions.select(playbook.motion_minutes(motion, MotionMinutes()))["motion"]
    buyers = dict(
        zip(
            motions["motion"],
            motions.select(playbook.contact_role(motion, ContactRoles())).to_series(),
            strict=True,
        )
    )

    assert taken.null_count() == 0
    assert [name for name, role in buyers.items() if role is None] == ["rest"]
    assert buyers["volume upgrade"] == "developer who built the integration"


def test_with_a_new_department_in_it_is_part_of_a_capabilities_conversation() -> None:
    table = pl.DataFrame(
        {"motion": ["capabilities", "seat add"], "departments_90d": 2.0, "departments_new_90d": 1.0}
    )

    found = table.select(role=playbook.contact_role(pl.col("motion"), ContactRoles()))[
        "role"
    ].to_list()

    assert found == ["champion and the new department", "department head or admin"]


def test_every_verdict_is_among_the_limits_and_motions_that_are_explained() -> None:
    found = judged({}, FULL, VOLUME, ADOPTING, SPREADING, FLAT)

    assert {limit for limit, _, _ in found} == set(playbook.LIMITS)
    assert {motion for _, _, motion in found} == set(playbook.MOTIONS) - {"retain", "rest"}

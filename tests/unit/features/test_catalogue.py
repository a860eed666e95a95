"""The catalogue: every feature is declared once, documented and computed."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from data.config.settings import Settings, TablesConfig
from data.ingest import table_loader
from features.catalogue import (
    FEATURE_NAMES,
    FEATURES,
    FEATURES_BY_NAME,
    GROUP_BY_SIGNAL,
    REASON_GROUPS,
    docs,
    reason_templates,
)
from features.catalogue.feature import FAMILIES, Feature
from tests import ROOT
from tests.tables import build_panel

START = datetime(2023, 1, 1, tzinfo=UTC)
TOLD = [feature for feature in FEATURES if feature.family != "controls"]
# Days of log, on both sides of every lookback in the catalogue.
REACHES = sorted({feature.lookback_days(30) for feature in FEATURES})
LENGTHS = sorted({reach - early for reach in REACHES if reach for early in (0, 1)})


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """Build snapshots at every log length, of ordinary and extreme accounts."""
    company: dict[str, dict[str, Any]] = {
        "usual": {"licensed_seats": 5.0, "usage_limit": 100.0, "mrr": 50.0, "plan": "team"},
        "silent": {"licensed_seats": 5.0, "usage_limit": 100.0, "mrr": 50.0, "plan": "team"},
        "fading": {"licensed_seats": 5.0, "usage_limit": 100.0, "mrr": 50.0, "plan": "team"},
        "limitless": {"licensed_seats": None, "usage_limit": None, "mrr": None, "plan": "team"},
        "nothing": {"licensed_seats": 0.0, "usage_limit": 0.0, "mrr": None, "plan": None},
        "huge": {"licensed_seats": 1e9, "usage_limit": 1e-3, "mrr": 1e12, "plan": "other"},
    }
    busy = ["usual", "limitless", "nothing", "huge"]
    events: list[dict[str, Any]] = [
        {"account_id": name, "user_id": f"{name} {day % 7}", "timestamp": moment, "event": event}
        for day in range(0, max(LENGTHS), 3)
        for moment in [START + timedelta(days=day)]
        for name in (busy if day > 150 else [*busy, "fading"])
        for event in ("view", f"part {day // 40}", "api_call", "integration_sync", "nps")
    ]
    events += [
        {"account_id": "silent", "user_id": None, "timestamp": START + timedelta(days=day)}
        | {"event": "login"}
        for day in range(0, max(LENGTHS), 20)
    ]
    for row in events:
        row["quantity"] = 1e12 if row["account_id"] == "huge" else 0.001
    sold = START - timedelta(days=800)
    config = Settings(tables=TablesConfig(time_invariant_attributes=("department", "email_domain")))
    tables = table_loader.tables_from_frames(
        pl.DataFrame(events),
        pl.DataFrame(
            [{"account_id": name, "effective_date": sold, **has} for name, has in company.items()]
        ),
        pl.DataFrame({"account_id": list(company), "created_date": [sold] * len(company)}),
        tables=config.tables,
    )
    folder: Path = tmp_path_factory.mktemp("activity")
    as_ofs = [START + timedelta(days=days) for days in LENGTHS]
    return build_panel(tables, as_ofs, config, folder).snapshots


def test_a_name_is_declared_once() -> None:
    assert len(FEATURE_NAMES) == len(set(FEATURE_NAMES)) == len(FEATURES_BY_NAME)


@pytest.mark.parametrize("feature", FEATURES, ids=FEATURE_NAMES)
def test_every_feature_states_its_unit(feature: Feature) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", feature.name)
    assert feature.family in FAMILIES
    assert feature.unit


def test_every_signal_belongs_to_one_existing_reason_group() -> None:
    names = [signal for story in REASON_GROUPS.values() for signal in story.signals]

    assert len(names) == len(set(names))
    assert set(names) == set(GROUP_BY_SIGNAL) == {feature.signal_group for feature in TOLD}


def test_every_reason_group_but_the_calendar_has_both_templates() -> None:
    tables = reason_templates.load_default()

    assert set(tables) - {"macros", "number_format"} == set(REASON_GROUPS) - {"calendar"}
    assert all(
        set(tables[name]) == {"increases", "decreases"}
        for name in REASON_GROUPS
        if name != "calendar"
    )


def test_a_control_has_no_reason_group() -> None:
    assert not {f.signal_group for f in FEATURES if f.family == "controls"} & set(GROUP_BY_SIGNAL)


WINDOWED = [f for f in FEATURES if re.search(r"_\d+d", f.name) and f.family != "contract"]


@pytest.mark.parametrize("feature", WINDOWED, ids=[feature.name for feature in WINDOWED])
def test_a_name_contains_its_window(feature: Feature) -> None:
    named = [int(days) for days in re.findall(r"_(\d+)d(?=_|$)", feature.name)]

    # A level looks back one window; a lag or a change one month more; two windows twice as far.
    assert len(named) == 1
    assert feature.lookback_days(30) in {named[0], named[0] + 30, 2 * named[0]}


@pytest.mark.parametrize("feature", FEATURES, ids=FEATURE_NAMES)
def test_a_window_consists_of_whole_months(feature: Feature) -> None:
    assert feature.window_days % 30 == 0


def test_every_feature_is_computed(built: pl.DataFrame) -> None:
    assert tuple(built.columns) == ("account_id", "as_of", *FEATURE_NAMES)
    assert set(built.select(FEATURE_NAMES).dtypes) == {pl.Float64}


def test_every_value_is_finite_or_missing(built: pl.DataFrame) -> None:
    values = built.select(FEATURE_NAMES).unpivot().drop_nulls()

    wrong = values.filter(~pl.col("value").is_finite())

    assert wrong["variable"].unique().to_list() == []


@pytest.mark.parametrize("feature", FEATURES, ids=FEATURE_NAMES)
def test_a_window_that_starts_before_the_log_is_missing(
    built: pl.DataFrame, feature: Feature
) -> None:
    log_days = (pl.col("as_of") - START.date()).dt.total_days()

    early = built.filter(log_days < feature.lookback_days(30))

    assert early[feature.name].null_count() == early.height


@pytest.mark.parametrize("feature", FEATURES, ids=FEATURE_NAMES)
def test_an_inactive_account_has_the_fill_value(built: pl.DataFrame, feature: Feature) -> None:
    log_days = (pl.col("as_of") - START.date()).dt.total_days()
    covered = built.filter(log_days >= feature.lookback_days(30))

    silent = covered.filter(account_id="silent")[feature.name]

    if feature.fill_value is not None:
        assert covered[feature.name].null_count() == 0
    if feature.family in {"seats", "adoption", "engagement", "usage", "integrations"} and (
        feature.requires is None and feature.fill_value is not None
    ):
        assert set(silent) == {feature.fill_value}


def test_a_ratio_to_zero_is_missing_and_not_infinite(built: pl.DataFrame) -> None:
    ratios = [f.name for f in FEATURES if f.requires in {"seats", "usage_limit"}]

    without = built.filter(pl.col("account_id").is_in(["limitless", "nothing"])).select(ratios)

    assert [name for name in ratios if without[name].null_count() < without.height] == []


def test_declining_use_is_a_decrease(built: pl.DataFrame) -> None:
    fallen = built.filter(account_id="fading", as_of=(START + timedelta(days=210)).date())

    assert fallen["seat_growth_90d"].item() == -7 / 5
    assert fallen["events_growth_90d"].item() < 0
    assert fallen["new_users_acceleration_90d"].item() <= 0


def test_the_catalogue_page_is_up_to_date() -> None:
    page = ROOT / "docs/reference/features.md"

    assert page.read_text(encoding="utf-8") == docs.render_markdown(), "run `make docs`"


def test_the_page_lists_every_feature_once() -> None:
    names = re.findall(r"^\| `(\w+)` \|", docs.render_markdown(), flags=re.MULTILINE)

    assert names == list(FEATURE_NAMES)
    assert [row["name"] for row in docs.describe_features()] == list(FEATURE_NAMES)

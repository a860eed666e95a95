"""Peer percentiles: read off quantiles that can be stored, equal in batch and online."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data.config.settings import Settings
from data.ingest import table_loader
from features import peer_percentiles
from features.panel import builder
from tests.tables import build_panel

DAY = date(2024, 6, 1)
NOW = datetime(2024, 6, 1, tzinfo=UTC)


def snapshots(values: list[float | None], plan: str | None = "team", size: int = 1) -> pl.DataFrame:
    return pl.DataFrame(
        {"as_of": DAY, "plan": plan, peer_percentiles.SIZE_COLUMN: size, "x": values},
        schema={
            "as_of": pl.Date,
            "plan": pl.String,
            peer_percentiles.SIZE_COLUMN: pl.Int32,
            "x": pl.Float64,
        },
    )


def percentiles(rows: pl.DataFrame) -> list[float | None]:
    result = peer_percentiles.join_quantiles(
        rows, peer_percentiles.compute_peer_quantiles(rows, ["x"])
    )
    return result.select(peer_percentiles.percentile_rank("x"))[:, 0].to_list()


def test_hand_worked_percentiles() -> None:
    rows = snapshots([float(value) for value in range(21)])

    result = percentiles(rows)

    # The quantiles are 0, 2, 4, … 20: four of eleven are below 7; four below 8, and itself by half.
    assert result[7] == pytest.approx(4 / 11)
    assert result[8] == pytest.approx(4.5 / 11)
    assert result[0] == pytest.approx(0.5 / 11)
    assert result[20] == pytest.approx(10.5 / 11)


def test_ties_share_the_mean_rank() -> None:
    assert percentiles(snapshots([1.0] * 20)) == [0.5] * 20


def test_missing_values_have_no_percentile() -> None:
    known = [float(value) for value in range(20)]

    assert percentiles(snapshots([*known, None])) == [*percentiles(snapshots(known)), None]


def test_too_few_peers_fall_back_to_the_size_band_and_then_to_all() -> None:
    many = snapshots([float(value) for value in range(20)])
    same_size = snapshots([100.0], plan="other")
    same_plan = snapshots([-100.0], size=5)

    result = percentiles(pl.concat([many, same_size, same_plan]))

    assert result[20] == pytest.approx(10.5 / 11)  # the highest of its size, including itself
    assert result[21] == pytest.approx(0.5 / 11)  # the lowest of all


def test_too_few_accounts_have_no_percentiles() -> None:
    assert percentiles(snapshots([1.0, 2.0])) == [None, None]


def test_a_missing_plan_is_a_plan() -> None:
    assert percentiles(snapshots([1.0] * 20, plan=None)) == [0.5] * 20


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.integers(-5, 5).map(float), min_size=20, max_size=60))
def test_percentiles_are_monotone_and_between_zero_and_one(
    values: list[float | None],
) -> None:
    placed = [
        (v, p) for v, p in zip(values, percentiles(snapshots(values)), strict=True) if p is not None
    ]

    assert all(0 <= percentile <= 1 for _, percentile in placed)
    assert [percentile for _, percentile in sorted(placed)] == sorted(
        percentile for _, percentile in placed
    )


def test_the_plan_ceiling_covers_nearly_all_accounts_of_any_size() -> None:
    small = snapshots([float(value) for value in range(60)])
    large = snapshots([float(value) for value in range(60, 100)], size=5)
    kept_from_before = snapshots([1000.0])
    few, unnamed = snapshots([7.0], plan="other"), snapshots([7.0] * 20, plan=None)
    unused = snapshots([0.0] * 20, plan="unused")
    rows = pl.concat([small, large, kept_from_before, few, unnamed, unused])

    result = peer_percentiles.join_quantiles(
        rows, peer_percentiles.compute_peer_quantiles(rows, ["x"], ["x"])
    ).select(peer_percentiles.plan_ceiling("x"))[:, 0]

    # Of the values 0 to 99 and one of 1000: index 98 of 0 to 100. Others are too few, null or zero.
    assert result[:101].to_list() == [98.0] * 101
    assert result[101:].to_list() == [None] * 41


@pytest.mark.parametrize(
    ("people", "band"), [(None, 0), (2, 0), (3, 1), (14, 1), (15, 2), (63, 3), (255, 4)]
)
def test_a_band_is_four_times_as_wide_as_the_one_before(people: int | None, band: int) -> None:
    rows = pl.DataFrame({"people": [people]}, schema={"people": pl.Int64})

    assert rows.select(peer_percentiles.size_band(pl.col("people"))).item() == band


# ---- In the panel


def company(folder: Path, as_ofs: list[datetime]) -> builder.Panel:
    """Return forty accounts on two plans; users and features follow from the account's number."""
    names = [f"a{number:02d}" for number in range(40)]
    events: list[dict[str, Any]] = [
        {"account_id": name, "user_id": f"{name}-{person}", "event": "view", "feature": f"{person}"}
        | {"timestamp": NOW - timedelta(days=days)}
        for number, name in enumerate(names)
        for person in range(number // 4 + 1)
        for days in (5, 35, 65, 395)
    ]
    deals = [
        {"account_id": name, "effective_date": NOW - timedelta(days=500), "licensed_seats": 10.0}
        | {"plan": "team" if number % 2 else "solo"}
        for number, name in enumerate(names)
    ]
    accounts = pl.DataFrame({"account_id": names, "created_date": [NOW - timedelta(days=900)] * 40})
    tables = table_loader.tables_from_frames(pl.DataFrame(events), pl.DataFrame(deals), accounts)
    return build_panel(tables, as_ofs, Settings(), folder)


def test_accounts_are_ranked_within_their_plan(tmp_path: Path) -> None:
    built = company(tmp_path, [NOW])

    rows = built.snapshots.select("account_id", "seat_utilization_among_peers").rows()
    team = dict(rows[1::2])
    # Twenty accounts per plan, in pairs of equal use: eleven of them are the quantiles.
    assert team["a39"] > team["a35"] > team["a21"] > team["a01"]
    assert built.peers.height == 2


def test_features_used_are_compared_with_the_plan_ceiling(tmp_path: Path) -> None:
    built = company(tmp_path, [NOW])

    rows = built.snapshots.select(
        "account_id", "features_ever", "plan_features_used_share", "plan_features_left"
    ).rows_by_key("account_id", unique=True)
    # Accounts of either plan use ten features at most.
    assert rows["a39"] == (10.0, 1.0, 0.0)
    assert rows["a20"] == (6.0, 0.6, 4.0)
    assert rows["a01"] == (1.0, 0.1, 9.0)


def test_quantiles_of_the_last_run_give_the_same_percentile(tmp_path: Path) -> None:
    built = company(tmp_path, [NOW])
    today = built.snapshots.with_columns(
        plan=pl.when(pl.col("account_id").str.slice(1).cast(pl.Int32) % 2 == 1)
        .then(pl.lit("team"))
        .otherwise(pl.lit("solo")),
        **{peer_percentiles.SIZE_COLUMN: peer_percentiles.size_band(pl.col("licensed_seats"))},
    ).drop("seat_utilization_among_peers")
    path = tmp_path / "peers.parquet"
    built.peers.write_parquet(path)

    result = peer_percentiles.join_quantiles(today, pl.read_parquet(path)).select(
        seat_utilization_among_peers=peer_percentiles.percentile_rank("seat_utilization")
    )

    assert_frame_equal(result, built.snapshots.select("seat_utilization_among_peers"))


def test_peers_are_computed_per_as_of(tmp_path: Path) -> None:
    earlier = NOW - timedelta(days=30)

    batch, alone = company(tmp_path, [earlier, NOW]), company(tmp_path, [NOW])

    assert_frame_equal(batch.peers.filter(as_of=NOW.date()), alone.peers)

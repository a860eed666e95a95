from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from data import schemas, simulator
from data.config import settings
from data.errors import DeliveryError, SettingsError
from data.ingest import table_loader
from data.simulator import ground_truth, hazard, simulation, users
from data.simulator.account_state import (
    STEP_DAYS,
    LifecycleStatus,
    create_empty_state,
    select_accounts,
)

END = datetime(2026, 6, 1, tzinfo=UTC)
NOISE = ("login", "support_ticket", "nps")
LIFE = simulation.SimulationPeriod(
    simulation.to_day_number(date(2024, 6, 1)), simulation.to_day_number(END.date())
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    summary = tmp_path_factory.mktemp("company")
    simulator.write_company(summary, accounts=150, months=12, seed=3)
    return summary


@pytest.fixture(scope="module")
def history() -> simulation.SimulationHistory:
    return simulation.simulate(600, LIFE, seed=5)


def test_the_summary_counts_what_was_written(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    summary = simulator.write_company(
        tmp_path, accounts=20, months=3, seed=1, progress=lambda *done: seen.append(done)
    )

    assert summary.first_day == date(2026, 3, 1)
    assert summary.last_day == date(2026, 5, 31)
    assert summary.events == pl.scan_parquet(tmp_path / "events/*.parquet").collect().height
    assert summary.users == pl.read_parquet(tmp_path / "users.parquet").height
    assert summary.snapshots == pl.read_parquet(tmp_path / "truth.parquet").height
    assert summary.expansions == pl.read_parquet(tmp_path / "drivers.parquet").height
    assert seen == [(done, 4) for done in range(5)]


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("first", 1), ("second", 1), ("third", 2)):
        simulator.write_company(tmp_path / name, accounts=20, months=2, seed=seed, corruption=0.01)

    first, second, third = (_bytes(tmp_path / name) for name in ("first", "second", "third"))
    assert first == second
    assert not set(first.values()) & set(third.values()) - {first["expansion.toml"]}


def test_the_written_settings_load_and_every_table_matches_its_schema(folder: Path) -> None:
    loaded = settings.load_settings(folder / "expansion.toml")
    tables = table_loader.load_tables(loaded, now=END)

    assert loaded.as_of == "data end"
    assert loaded.outcome.plans == ("free", "team", "business", "enterprise")
    assert loaded.state_folder == folder
    assert all(not partition.count_rejects() for partition in tables.events)
    assert not tables.subscriptions.quarantine
    assert not tables.accounts.quarantine
    assert not tables.users.quarantine


def test_corrupted_rows_are_quarantined_and_valid_rows_are_unchanged(tmp_path: Path) -> None:
    for name, dirt in (("clean", 0.0), ("dirty", 0.04)):
        simulator.write_company(tmp_path / name, accounts=60, months=2, seed=1, corruption=dirt)

    clean, dirty = (
        table_loader.load_tables(
            settings.load_settings(tmp_path / name / "expansion.toml"), now=END
        )
        for name in ("clean", "dirty")
    )

    is_known = pl.col("account_id").is_in(clean.accounts.rows["account_id"].implode())
    for before, after in zip(clean.events, dirty.events, strict=True):
        assert len(after.count_rejects()) == 6
        assert sum(after.count_rejects().values()) == pytest.approx(
            0.04 * before.count_rows(), rel=0.5
        )
        assert after.valid_rows().filter(~is_known).select(pl.len()).collect().item()
        assert after.valid_rows().filter(is_known).collect().equals(before.valid_rows().collect())
    assert schemas.FUTURE_TIMESTAMP in dirty.events[0].count_rejects()
    assert dirty.subscriptions.quarantine
    assert dirty.users.quarantine
    assert dirty.users.rows.equals(clean.users.rows)


def test_some_events_arrive_late_some_twice_and_none_after_the_end(folder: Path) -> None:
    events = pl.read_parquet(folder / "events/*.parquet")
    delay = events["known_at"] - events["timestamp"]

    assert events["known_at"].max() < END
    assert delay.min() > timedelta(0)
    assert 0.02 < (delay > timedelta(hours=1)).mean() < 0.05
    assert 0.002 < (delay > timedelta(days=1)).mean() < 0.01
    assert 0.003 < 1 - events["event_id"].n_unique() / len(events) < 0.01
    assert events.unique().height == events["event_id"].n_unique()


def test_each_file_holds_one_month_sorted_by_time(folder: Path) -> None:
    for file in sorted((folder / "events").iterdir()):
        time = pl.read_parquet(file)["timestamp"]

        assert time.is_sorted()
        assert time.dt.strftime("%Y-%m").unique().to_list() == [file.stem]


def test_people_work_on_weekdays_and_come_back(folder: Path) -> None:
    use = pl.read_parquet(folder / "events/*.parquet").filter(pl.col("event") == "use")
    days = use.group_by("user_id").agg(pl.col("timestamp").dt.date().n_unique())["timestamp"]

    assert (use["timestamp"].dt.weekday() > 5).mean() < 0.15
    assert (days > 5).mean() > 0.7


def test_some_accounts_have_guests_who_log_in_once(folder: Path) -> None:
    users = pl.read_parquet(folder / "users.parquet").filter(pl.col("seat_type") == "free")
    events = pl.read_parquet(folder / "events/*.parquet").join(users, on="user_id", how="semi")
    busy = users.group_by("account_id").len().filter(pl.col("len") > 30)

    assert set(events["event"]) == {"login"}
    assert events["event_id"].n_unique() <= len(users)
    assert 0.03 < len(busy) / 150 < 0.2


def test_ramps_are_signed_before_they_come_into_force(folder: Path) -> None:
    ramps = pl.read_parquet(folder / "subscriptions.parquet").filter(pl.col("change") == "ramp")

    assert len(ramps) > 0
    assert (ramps["effective_date"] - ramps["known_at"] > timedelta(days=100)).all()


def test_growth_towards_the_limit_raises_the_hazard_and_a_plateau_does_not() -> None:
    state = create_empty_state(3)
    state.status[:] = LifecycleStatus.PAID
    state.plan[:] = 1
    state.seats[:] = 50
    state.users[:] = (20, 46, 46)
    state.user_trend[:] = (3, 0, 3)

    idle, flat, rising = hazard.compute_hazard_rates(state, 20_000)[0]

    assert idle < flat
    assert rising > 20 * flat


def test_a_department_is_reached_by_one_of_its_people(
    history: simulation.SimulationHistory,
) -> None:
    roster = users.expand_users(history, np.random.default_rng(1))
    joined = set(
        zip(roster.account, roster.department, history.step_index(roster.joined), strict=True)
    )

    rises = np.diff(history.departments, axis=0) > 0
    reached = [
        (account, history.departments[step + 1, account] - 1, step + 1)
        for step, account in np.argwhere(rises)
    ]

    assert len(reached) > 100
    assert set(reached) <= joined


def test_the_true_probability_equals_the_simulated_frequency(
    history: simulation.SimulationHistory,
) -> None:
    as_of, futures = history.period.end, 300
    state = history.states[as_of]
    chosen = np.flatnonzero(state.is_paying)[::12]
    traits, state = select_accounts(history.traits, chosen), select_accounts(state, chosen)
    estimated = ground_truth.estimate_probabilities(
        traits, state, as_of, np.random.default_rng(1), futures
    )[1]

    copies = np.repeat(np.arange(len(chosen)), futures)
    traits, state = select_accounts(traits, copies), select_accounts(state, copies)
    expanded, rng = np.zeros(len(copies), dtype=bool), np.random.default_rng(2)
    for day in range(as_of, as_of + 60, STEP_DAYS):
        state, _, _, deals = simulation.advance(traits, state, day, rng)
        expanded |= deals.source >= 0
    thrown = expanded.reshape(-1, futures).mean(axis=1)

    spread = np.sqrt(estimated * (1 - estimated) / futures) + 0.005
    assert np.abs((thrown - estimated) / spread).max() < 4.5
    assert thrown.mean() == pytest.approx(estimated.mean(), abs=0.006)


def test_the_true_probability_is_calibrated_and_ranks_well(
    history: simulation.SimulationHistory,
) -> None:
    snapshots = ground_truth.build_snapshots(history, seed=5).drop_nulls("expands_60")
    probability, expands = snapshots["p_60"].to_numpy(), snapshots["expands_60"].to_numpy()
    # Windows of one account overlap, so its snapshots count as one observation.
    excess = snapshots.group_by("account").agg((pl.col("expands_60") - pl.col("p_60")).sum())

    assert abs(excess["expands_60"].sum()) < 4 * np.sqrt((excess["expands_60"] ** 2).sum())
    assert 0.04 < expands.mean() < 0.09
    assert 0.8 < roc_auc_score(expands, probability) < 0.92


def test_unfinished_windows_are_unknown(folder: Path) -> None:
    snapshots = pl.read_parquet(folder / "truth.parquet")
    unfinished = pl.col("as_of") + timedelta(days=60) > END

    assert snapshots["as_of"].max() == END
    assert snapshots.filter(unfinished)["expands_60"].null_count() > 0
    assert snapshots.filter(unfinished)["expands_60"].drop_nulls().is_empty()
    assert snapshots.filter(~unfinished)["expands_60"].null_count() == 0


def test_some_accounts_plateau_at_high_utilization_and_do_not_expand(
    history: simulation.SimulationHistory,
) -> None:
    as_ofs = history.period.as_ofs[-13:]
    states = [history.states[as_of] for as_of in as_ofs]
    high = np.array([s.is_paying & (s.utilization > 0.78) & (s.utilization < 0.97) for s in states])
    bought = states[-1].seats > states[0].seats

    flat = high.all(axis=0)
    assert flat.sum() >= 15
    assert bought[flat].mean() < 0.15


def test_subscriptions_give_the_same_expansions_as_the_ground_truth(folder: Path) -> None:
    snapshots = pl.read_parquet(folder / "truth.parquet").drop_nulls("expands_60")
    rows = _contract_rows(folder)

    for account, as_of, expands in snapshots.select("account_id", "as_of", "expands_60").rows():
        assert _expands(rows, account, as_of) == expands, (account, as_of)


def test_noise_does_not_predict_expansions(folder: Path) -> None:
    snapshots = _activity(folder).drop_nulls("expands_60")

    for name in NOISE:
        area = roc_auc_score(snapshots["expands_60"], snapshots[name].fill_null(0))
        assert 0.42 < area < 0.58, name


def test_an_interrupted_run_leaves_no_settings_and_no_half_file(tmp_path: Path) -> None:
    simulator.write_company(tmp_path, accounts=10, months=3, seed=1)

    with pytest.raises(KeyboardInterrupt):
        simulator.write_company(tmp_path, accounts=10, months=3, seed=2, progress=_interrupt_at(2))

    assert not (tmp_path / "expansion.toml").exists()
    assert all(pl.read_parquet(file).width == 8 for file in (tmp_path / "events").iterdir())


def test_months_of_another_company_are_rejected(tmp_path: Path) -> None:
    simulator.write_company(tmp_path, accounts=10, months=3, seed=1)

    with pytest.raises(SettingsError, match=r"already holds other months \(2026-03.parquet"):
        simulator.write_company(tmp_path, accounts=10, months=2, seed=1)


@pytest.mark.parametrize(
    "wrong", [{"accounts": 0}, {"months": 0}, {"seed": -1}, {"corruption": 1.5}]
)
def test_arguments_out_of_bounds_are_rejected(tmp_path: Path, wrong: dict[str, int]) -> None:
    arguments: dict[str, int] = {"accounts": 10, "months": 2, "seed": 1, **wrong}

    with pytest.raises(SettingsError, match="at least one account"):
        simulator.write_company(tmp_path, **arguments)


def test_a_folder_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DeliveryError, match="file"):
        simulator.write_company(tmp_path / "file", accounts=10, months=2, seed=1)


@pytest.mark.parametrize(("accounts", "seed"), [(1, 0), (1, 6), (3, 7)])
def test_a_single_account_and_month_suffice(tmp_path: Path, accounts: int, seed: int) -> None:
    summary = simulator.write_company(
        tmp_path, accounts=accounts, months=1, seed=seed, end=date(2025, 3, 1)
    )

    assert summary.accounts == accounts
    assert pl.read_parquet(tmp_path / "events/2025-02.parquet").height == summary.events


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_company_is_as_hard_to_predict_as_promised(tmp_path: Path, seed: int) -> None:
    simulator.write_company(tmp_path, accounts=1000, months=36, seed=seed)
    snapshots = _activity(tmp_path).drop_nulls("expands_60")
    expands = snapshots["expands_60"]

    assert 0.04 < expands.mean() < 0.08
    assert 0.80 < roc_auc_score(expands, snapshots["p_60"]) < 0.90
    assert 0.65 < roc_auc_score(expands, snapshots["utilization"]) < 0.75
    assert snapshots["utilization"].is_between(0.2, 1.15).mean() > 0.85
    for name in NOISE:
        assert 0.46 < roc_auc_score(expands, snapshots[name].fill_null(0)) < 0.54


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.*"))}


def _interrupt_at(stop: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done == stop:
            raise KeyboardInterrupt

    return progress


def _contract_rows(folder: Path) -> list[dict[str, Any]]:
    table = pl.read_parquet(folder / "subscriptions.parquet").with_columns(
        pl.col("plan").replace_strict({"free": 0, "team": 1, "business": 2, "enterprise": 3}),
        pl.col("licensed_seats", "usage_limit").fill_null(0),
    )
    return table.rows(named=True)


def _expands(rows: Sequence[dict[str, Any]], account: str, as_of: datetime) -> bool:
    """Evaluate the label slowly: an increase over the terms signed by the as-of, within 60 days."""
    mine = [row for row in rows if row["account_id"] == account]
    signed = [row for row in mine if row["known_at"] < as_of]
    now = [row for row in signed if row["effective_date"] < as_of][-1:]
    base = now + [row for row in signed if row["effective_date"] >= as_of]
    window = as_of + timedelta(days=60)
    return any(
        row[limit] > max(known[limit] for known in base)
        for row in mine
        if as_of <= row["known_at"] < window and row["change"] in ("organic", "true_up")
        for limit in ("licensed_seats", "usage_limit", "plan")
    )


def _activity(folder: Path) -> pl.DataFrame:
    """Return the ground truth with log-derived activity of the 30 days before each as-of."""
    before = ((END - pl.col("timestamp")).dt.total_days() // 30).alias("back")
    events = pl.scan_parquet(folder / "events/*.parquet").with_columns(before)
    seats = pl.scan_parquet(folder / "subscriptions.parquet").filter(pl.col("status") == "paid")
    count = [(pl.col("event") == name).sum().alias(name) for name in NOISE]
    active = pl.col("user_id").filter(pl.col("event") == "use").n_unique().alias("active")
    monthly = events.group_by("account_id", "back").agg(active, *count)
    back = ((END - pl.col("as_of")).dt.total_days() // 30).alias("back")
    return (
        pl.scan_parquet(folder / "truth.parquet")
        .with_columns(back)
        .join(monthly, on=["account_id", "back"], how="left")
        .sort("as_of")
        .join_asof(
            seats.select("account_id", "effective_date", "licensed_seats").sort("effective_date"),
            left_on="as_of",
            right_on="effective_date",
            by="account_id",
            check_sortedness=False,
        )
        .with_columns(utilization=pl.col("active").fill_null(0) / pl.col("licensed_seats"))
        .collect()
    )


def test_settings_written_by_a_user_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "expansion.toml").write_text("[tables]\n")

    with pytest.raises(SettingsError, match="not written by the simulator"):
        simulator.write_company(tmp_path, accounts=3, months=1, seed=1)

    assert (tmp_path / "expansion.toml").read_text() == "[tables]\n"

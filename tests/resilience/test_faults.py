"""A small part of ``make test-faults``: no fault loses, duplicates or overwrites anything."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from data.errors import DeliveryError
from serving import store
from serving.delivery import status
from serving.delivery.reconcile import rollback
from serving.delivery.reconcile.summary import SyncSummary
from serving.store.schema import ACCOUNT_TOUCHES, CHANGE_LOG, LEASES, REJECTED_OBJECTS, SYNC_RUNS
from tests.fakes import desired_objects
from tests.resilience import kill_points, scenarios, state_checker
from tests.resilience.faulty_crm import FaultyCrm
from tests.resilience.http_target import HttpTarget
from tests.resilience.scenarios import Template

ACCOUNTS = 60


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    desired_objects.save_generated(engine, "http", ACCOUNTS)
    yield engine
    engine.dispose()


@pytest.fixture
def crm() -> Any:
    crm = FaultyCrm()
    yield crm
    crm.stop()


@contextmanager
def open_target(crm: FaultyCrm, **options: Any) -> Iterator[HttpTarget]:
    with closing(HttpTarget(crm.start(), rows_per_call=10, **options)) as target:
        yield target
    crm.stop()


def send(engine: sa.Engine, crm: FaultyCrm, **options: Any) -> SyncSummary:
    with open_target(crm) as target:
        return scenarios.send_without_waiting(engine, target, **options)


def check_crm(
    crm: FaultyCrm, week: int = 0, edits: state_checker.Edits | None = None
) -> state_checker.Verdict:
    state = state_checker.read_http_state(crm.objects)
    desired = desired_objects.generate_desired(ACCOUNTS, week)
    return state_checker.check_state(desired, state, edits or {})


def select_column(engine: sa.Engine, query: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.scalars(query))


@pytest.fixture
def second_week(tmp_path: Path) -> Template:
    return scenarios.prepare_second_week(f"sqlite:///{tmp_path / 'week.db'}", ACCOUNTS)


def test_a_sender_killed_anywhere_reaches_the_desired_state_when_run_again(
    second_week: Template,
) -> None:
    points = scenarios.count_kill_points(second_week)
    draw = random.Random(5)  # noqa: S311
    verdicts = [
        scenarios.kill_and_resume(second_week, draw.randint(1, points), seed) for seed in range(5)
    ]
    assert all(verdicts), verdicts


def test_kills_and_concurrent_senders_do_no_harm_on_postgresql(postgres: str) -> None:
    url = scenarios.create_database(postgres, "faults")
    template = scenarios.prepare_second_week(url, ACCOUNTS)

    killed = scenarios.kill_and_resume(template, kill_at=20, seed=2)
    two = scenarios.run_two_senders(template, ahead_days=3650)

    assert killed, killed.examples[:5]
    assert two, two.examples[:5]


@pytest.mark.parametrize("fault", ["any", "half a response"])
def test_a_server_that_fails_at_a_third_of_requests_gets_everything_with_few_extra_requests(
    tmp_path: Path, fault: str
) -> None:
    result = scenarios.send_over_http(tmp_path, 400, fault)

    assert result.verdict, result.verdict.examples[:5]
    assert result.failed_share > 0.15
    assert result.ratio <= 1.2


def test_two_concurrent_senders_do_no_harm_even_with_a_wrong_clock(second_week: Template) -> None:

    for ahead_days in (0.0, 3650.0):
        verdicts = scenarios.run_two_senders(second_week, ahead_days=ahead_days)

        assert verdicts, verdicts.examples[:5]


def test_a_full_disk_gives_a_one_line_error_and_loses_nothing(tmp_path: Path) -> None:
    template = scenarios.prepare_first_week(f"sqlite:///{tmp_path / 'new.db'}", 10 * ACCOUNTS)

    verdicts = scenarios.send_on_full_disk(template, 10_000)

    assert verdicts, verdicts.examples[:5]


def test_what_was_applied_is_not_sent_again(engine: sa.Engine, crm: FaultyCrm) -> None:
    first = send(engine, crm)
    before = crm.total

    again = send(engine, crm)

    assert first.created == Counter(
        row["kind"] for row in desired_objects.generate_desired(ACCOUNTS)
    )
    assert (again.written, again.remaining, crm.total) == (0, 0, before)
    assert check_crm(crm)


def test_a_bad_row_is_isolated_from_its_batch_and_stored_with_the_reason(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    crm.rejected_keys, crm.rejects_batches = frozenset({"acc_00005", "acc_00042"}), True

    sent = send(engine, crm)

    assert sent.rejected == 2
    reasons = sa.select(REJECTED_OBJECTS.c.reason).order_by(REJECTED_OBJECTS.c.key)
    assert select_column(engine, reasons) == [f"invalid value in acc_000{n}" for n in ("05", "42")]
    assert len(crm.objects["account"]) == ACCOUNTS - 2
    assert send(engine, crm).requests == 1  # the pull of human touches


def test_children_of_a_rejected_account_wait_and_follow_it(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    crm.rejected_keys = frozenset({"acc_00008"})  # which has an opportunity and a task

    first = send(engine, crm)
    crm.rejected_keys = frozenset()
    desired_objects.save_generated(engine, "http", ACCOUNTS, week=1)
    second = send(engine, crm)

    assert (first.rejected, first.waiting_for_parent, first.remaining) == (1, 2, 0)
    assert (second.rejected, second.waiting_for_parent) == (0, 0)
    assert check_crm(crm, week=1)
    assert select_column(engine, sa.select(REJECTED_OBJECTS.c.key)) == []


def test_a_row_that_breaks_the_server_does_not_block_the_others(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    crm.failing_keys = frozenset({"acc_00031"})

    sent = send(engine, crm, budget_seconds=100_000)

    assert sent.remaining == 1
    assert sent.rejected == 0
    assert check_crm(crm).lost == 1


def test_the_cap_sends_the_highest_priorities_first_and_the_next_run_continues(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    first = send(engine, crm, max_writes=20)
    keys_by_kind = {kind: sorted(objects) for kind, objects in crm.objects.items()}
    rest = send(engine, crm)

    assert first.written == 20
    assert "cap" in (first.stop_reason or "")
    assert keys_by_kind["account"] == [f"acc_{place:05}" for place in range(1, 17)]
    assert "acc_00008:seats:1" in keys_by_kind["opportunity"]
    assert first.remaining == rest.written
    assert check_crm(crm)


def test_a_run_stops_at_its_deadline_and_the_next_run_continues(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    crm.fault, crm.fault_share = "503", 1.0

    failed = send(engine, crm, budget_seconds=100)
    crm.fault = None
    resumed = send(engine, crm)

    assert failed.written == 0
    assert "503" in (failed.stop_reason or "")
    assert 5 < failed.requests < 60
    assert resumed.written == failed.remaining
    assert check_crm(crm)


def test_a_retry_waits_for_the_time_in_retry_after(engine: sa.Engine, crm: FaultyCrm) -> None:
    crm.fault, crm.fault_share = "429", 1.0

    result = send(engine, crm, budget_seconds=20)

    assert result.requests <= 21


def test_calls_stay_within_the_rate_limit(engine: sa.Engine, crm: FaultyCrm) -> None:
    timer, times = scenarios.Timer(), list[float]()

    with open_target(crm, max_calls=5, on_point=lambda: times.append(timer.clock())) as target:
        scenarios.send_without_waiting(engine, target, timer)

    started = times[::2]
    assert len(started) > 10
    assert all(later - sooner >= 1 for sooner, later in zip(started, started[5:], strict=False))


def test_a_task_deleted_by_a_human_stays_deleted_until_it_is_requeued(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    send(engine, crm)
    del crm.objects["task"]["acc_00008:seats:1:talk"]

    kept_deleted = send(engine, crm, resync=True)
    status.requeue_rejected(engine, "http", ["acc_00008:seats:1:talk"])
    recreated = send(engine, crm)

    assert (kept_deleted.deleted_in_crm, kept_deleted.written) == (1, 0)
    assert recreated.created == {"task": 1}
    assert check_crm(crm)


def test_an_older_as_of_never_replaces_a_newer_one(engine: sa.Engine, crm: FaultyCrm) -> None:
    desired_objects.save_generated(engine, "http", ACCOUNTS, week=1)
    send(engine, crm)
    desired_objects.save_generated(engine, "http", ACCOUNTS, week=0)

    sent = send(engine, crm)

    assert sent.written == 0
    assert check_crm(crm, week=1)


def test_a_rollback_restores_everything_but_human_edits(engine: sa.Engine, crm: FaultyCrm) -> None:
    send(engine, crm)
    desired_objects.save_generated(engine, "http", ACCOUNTS, week=1)
    send(engine, crm)
    crm.edit_as_human("account", "acc_00007", "note", "mine")
    crm.edit_as_human("account", "acc_00009", "probability", 0.777)

    result = rollback.roll_back_run(engine, "http", 2)
    send(engine, crm, run_id=-2)

    edits = {
        ("account", "acc_00007", "note"): "mine",
        ("account", "acc_00009", "probability"): 0.777,
    }
    assert result.objects == ACCOUNTS + len(crm.objects["opportunity"])
    assert check_crm(crm, week=0, edits=edits), check_crm(crm, week=0, edits=edits).examples[:3]


def test_a_rollback_of_the_first_run_withdraws_and_deletes_nothing(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    send(engine, crm)

    rollback.roll_back_run(engine, "http", 1)
    send(engine, crm, run_id=-1)

    states = {each["fields"]["state"] for each in crm.objects["opportunity"].values()}
    figures = {each["fields"]["probability"] for each in crm.objects["account"].values()}
    assert (states, figures) == ({"withdrawn"}, {None})
    with pytest.raises(DeliveryError, match="changed nothing"):
        rollback.roll_back_run(engine, "http", 1)


def test_a_sender_that_lost_its_lease_sends_nothing_more(engine: sa.Engine, crm: FaultyCrm) -> None:
    def overtaken(_: Any) -> None:
        with engine.execution_options(writes=True).begin() as connection:
            connection.execute(sa.update(LEASES).values(owner="elsewhere/1/abc"))

    summary = send(engine, crm, on_change=overtaken)

    assert "taken over" in (summary.stop_reason or "")
    assert summary.written == 0
    assert crm.objects == {}


def test_a_target_is_not_sent_to_while_another_sender_holds_its_lease(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    other_lease = {"target": "http", "owner": "elsewhere/1/abc"}
    for until, works in ((timedelta(minutes=1), False), (timedelta(minutes=-1), True)):
        with engine.execution_options(writes=True).begin() as connection:
            connection.execute(sa.delete(LEASES))
            connection.execute(
                sa.insert(LEASES).values(**other_lease, expires_at=kill_points.NOW + until)
            )

        sent = send(engine, crm)

        assert bool(sent.written) is works
        assert ("is active" in (sent.stop_reason or "")) is not works


def test_human_touches_are_pulled_from_the_same_day_until_the_crm_responds(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    crm.touches = [{"account_id": "acc_00001", "touched_on": "2026-05-20"}]
    timer, requested = scenarios.Timer(), []
    for days, failed in ((0, True), (7, False), (14, False)):
        crm.fault, crm.fault_share = ("503" if failed else None), 1.0
        now = kill_points.shift_clock(days)
        with open_target(crm, returns_touches=True) as target:
            scenarios.send_without_waiting(engine, target, timer, now, budget_seconds=30)
        requested.append(target.requested_since[-1])

    assert requested == [date(2026, 3, 3), date(2026, 3, 10), date(2026, 6, 6)]
    assert select_column(engine, sa.select(ACCOUNT_TOUCHES.c.account_id)) == ["acc_00001"]


def test_the_change_log_and_the_sync_runs_record_what_was_done(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    sent = send(engine, crm)

    assert len(select_column(engine, sa.select(CHANGE_LOG.c.id))) == sent.written
    (counts,) = select_column(engine, sa.select(SYNC_RUNS.c.counts))
    assert counts == sent.to_dict()


def test_the_state_check_counts_lost_duplicated_overwritten_and_wrong() -> None:
    desired = list(desired_objects.generate_desired(3))
    state = [(row["kind"], row["key"], dict(row["fields"])) for row in desired]
    state[0][2]["rank"] = 9
    edits = {("account", "acc_00002", "note"): "mine"}

    verdicts = state_checker.check_state(desired, [*state[:-1], state[1]], edits)

    assert replace(verdicts, examples=[]) == state_checker.Verdict(1, 1, 1, 1)

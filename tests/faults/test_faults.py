"""A small part of ``make test-faults``: whatever fails, nothing is lost, doubled or overwritten."""

import random
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import faulty_crm
import http_target
import judge
import killing
import made_up
import pytest
import scenarios
import sqlalchemy as sa
from faulty_crm import FaultyCrm

from data.errors import DeliveryError
from serving import store
from serving.delivery.reconcile import sender
from serving.delivery.reconcile.summary import SyncSummary
from serving.store.schema import ACCOUNT_TOUCHES, CHANGE_LOG, LEASES, REJECTED_OBJECTS, SYNC_RUNS

ACCOUNTS = 60


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    made_up.put(engine, "http", ACCOUNTS)
    yield engine
    engine.dispose()


@pytest.fixture
def crm() -> Any:
    crm = FaultyCrm()
    yield crm
    crm.stop()


def send(engine: sa.Engine, crm: FaultyCrm, **options: Any) -> SyncSummary:
    timer = scenarios.Timer()
    pace = {name: options.pop(name) for name in ("rows_per_call", "calls") if name in options}
    target = http_target.HttpTarget(crm.start(), **{"rows_per_call": 10, **pace})
    try:
        return sender.send_pending(
            engine, target, now=killing.NOW, clock=timer.clock, sleep=timer.sleep, **options
        )
    finally:
        target.close()
        crm.stop()


def verdict(crm: FaultyCrm, week: int = 0, edits: judge.Edits | None = None) -> judge.Verdict:
    wanted = made_up.wanted(ACCOUNTS, week)
    return judge.judged(wanted, judge.standing_over_http(crm.objects), edits or {})


def column(engine: sa.Engine, query: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.scalars(query))


def test_killed_anywhere_and_run_again_all_is_as_it_should_be(tmp_path: Path) -> None:
    template = scenarios.second_week(tmp_path, ACCOUNTS)
    there = scenarios.points(template, tmp_path)
    draw = random.Random(5)  # noqa: S311

    found = [
        scenarios.killed(template, tmp_path, draw.randint(1, there), seed) for seed in range(5)
    ]

    assert all(found), sum(found, judge.Verdict()).examples[:5]


def test_the_same_on_postgresql(postgres: str, tmp_path: Path) -> None:
    server = sa.make_url(postgres).set(drivername="postgresql+psycopg")
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.exec_driver_sql("create database faults")
    url = server.set(database="faults").render_as_string(hide_password=False)
    template = scenarios.second_week_at(url, tmp_path / "none", ACCOUNTS)
    for name in ("killed", "two"):
        with admin.connect() as connection:
            connection.exec_driver_sql(f"create database {name} template faults")
    copies = [
        server.set(database=name).render_as_string(hide_password=False)
        for name in ("killed", "two")
    ]

    killed = scenarios.killed_at(copies[0], template, dies_at=20, seed=2)
    two = scenarios.two_at_once_at(copies[1], template, ahead_days=3650)

    admin.dispose()
    assert killed, killed.examples[:5]
    assert two, two.examples[:5]


@pytest.mark.parametrize("fault", ["any", "half a response"])
def test_a_server_that_fails_at_a_third_of_requests_gets_it_all_with_hardly_more_of_them(
    tmp_path: Path, fault: str
) -> None:
    done = scenarios.over_http(tmp_path, 400, fault)

    assert done.verdict, done.verdict.examples[:5]
    assert done.failed_share > 0.15
    assert done.ratio <= 1.2


def test_two_at_once_do_no_harm_whatever_the_clock_of_one(tmp_path: Path) -> None:
    template = scenarios.second_week(tmp_path, ACCOUNTS)

    for ahead_days in (0.0, 3650.0):
        found = scenarios.two_at_once(template, tmp_path, ahead_days=ahead_days)

        assert found, found.examples[:5]


def test_a_full_disk_ends_in_a_sentence_and_loses_nothing(tmp_path: Path) -> None:
    template = scenarios.new(tmp_path, ACCOUNTS)

    found = scenarios.disk_full(template, tmp_path, 10_000)

    assert found, found.examples[:5]


def test_what_is_acknowledged_is_not_sent_again(engine: sa.Engine, crm: FaultyCrm) -> None:
    first = send(engine, crm)
    before = crm.requests

    again = send(engine, crm)

    assert first.made == Counter(row["kind"] for row in made_up.wanted(ACCOUNTS))
    assert (again.written, again.left, crm.requests) == (0, 0, before)
    assert verdict(crm)


def test_a_bad_row_is_found_among_a_batch_and_kept_with_the_words(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    crm.refuses, crm.refuses_batches = frozenset({"acc_00005", "acc_00042"}), True

    sent = send(engine, crm)

    assert sent.rejected == 2
    assert column(engine, sa.select(REJECTED_OBJECTS.c.words).order_by(REJECTED_OBJECTS.c.key)) == [
        "cannot take acc_00005",
        "cannot take acc_00042",
    ]
    assert len(crm.objects["account"]) == ACCOUNTS - 2
    assert send(engine, crm).requests == 1  # only who was worked is asked


def test_what_hangs_on_a_refused_account_waits_and_follows_it(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    crm.refuses = frozenset({"acc_00008"})  # which has an opportunity and a task

    first = send(engine, crm)
    crm.refuses = frozenset()
    made_up.put(engine, "http", ACCOUNTS, week=1)
    second = send(engine, crm)

    assert (first.rejected, first.waiting, first.left) == (1, 2, 0)
    assert (second.rejected, second.waiting) == (0, 0)
    assert verdict(crm, week=1)
    assert column(engine, sa.select(REJECTED_OBJECTS.c.key)) == []


def test_a_row_that_breaks_the_server_holds_up_nobody_else(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    crm.poison = frozenset({"acc_00031"})

    sent = send(engine, crm, budget_seconds=100_000)

    assert sent.left == 1
    assert sent.rejected == 0
    assert verdict(crm).lost == 1


def test_the_cap_takes_the_best_places_whole_and_the_next_run_goes_on(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    first = send(engine, crm, max_writes=20)
    kept = {kind: sorted(objects) for kind, objects in crm.objects.items()}
    rest = send(engine, crm)

    assert first.written == 20
    assert "cap" in (first.words or "")
    assert kept["account"] == [f"acc_{place:05}" for place in range(1, 17)]
    assert "acc_00008:seats:1" in kept["opportunity"]
    assert first.left == rest.written
    assert verdict(crm)


def test_out_of_time_it_stops_and_the_next_run_goes_on(engine: sa.Engine, crm: FaultyCrm) -> None:
    crm.fault, crm.share = "503", 1.0

    down = send(engine, crm, budget_seconds=100)
    crm.fault = None
    up = send(engine, crm)

    assert down.written == 0
    assert "503" in (down.words or "")
    assert 5 < down.requests < 60
    assert up.written == down.left
    assert verdict(crm)


def test_the_server_is_asked_no_sooner_than_it_wants(engine: sa.Engine, crm: FaultyCrm) -> None:
    crm.fault, crm.share = "429", 1.0

    done = send(engine, crm, budget_seconds=20)

    assert done.requests <= 21


def test_no_faster_than_the_pace(engine: sa.Engine, crm: FaultyCrm) -> None:
    timer, times = scenarios.Timer(), list[float]()
    target = http_target.HttpTarget(
        crm.start(), rows_per_call=10, calls=5, point=lambda: times.append(timer.clock())
    )

    sender.send_pending(engine, target, now=killing.NOW, clock=timer.clock, sleep=timer.sleep)

    target.close()
    begun = times[::2]
    assert len(begun) > 10
    assert all(later - sooner >= 1 for sooner, later in zip(begun, begun[5:], strict=False))


def test_a_human_who_deletes_a_task_has_the_last_word_and_retry_makes_it_anew(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    from serving.delivery import status  # noqa: PLC0415

    send(engine, crm)
    del crm.objects["task"]["acc_00008:seats:1:talk"]

    left = send(engine, crm, full=True)
    status.requeue_rejected(engine, "http", ["acc_00008:seats:1:talk"])
    made = send(engine, crm)

    assert (left.gone, left.written) == (1, 0)
    assert made.made == {"task": 1}
    assert verdict(crm)


def test_an_older_as_of_never_replaces_a_newer_one(engine: sa.Engine, crm: FaultyCrm) -> None:
    made_up.put(engine, "http", ACCOUNTS, week=1)
    send(engine, crm)
    made_up.put(engine, "http", ACCOUNTS, week=0)

    sent = send(engine, crm)

    assert sent.written == 0
    assert verdict(crm, week=1)


def test_undoing_a_run_puts_all_back_but_what_humans_set(engine: sa.Engine, crm: FaultyCrm) -> None:
    from serving.delivery.reconcile import rollback  # noqa: PLC0415

    send(engine, crm)
    made_up.put(engine, "http", ACCOUNTS, week=1)
    send(engine, crm)
    crm.edit("account", "acc_00007", "note", "mine")
    crm.edit("account", "acc_00009", "probability", 0.777)

    back = rollback.roll_back_run(engine, "http", 2)
    send(engine, crm, run_id=-2)

    edits = {
        ("account", "acc_00007", "note"): "mine",
        ("account", "acc_00009", "probability"): 0.777,
    }
    assert back.objects == ACCOUNTS + len(crm.objects["opportunity"])
    assert verdict(crm, week=0, edits=edits), verdict(crm, week=0, edits=edits).examples[:3]


def test_undoing_the_run_that_made_it_all_withdraws_and_deletes_nothing(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    from serving.delivery.reconcile import rollback  # noqa: PLC0415

    send(engine, crm)

    rollback.roll_back_run(engine, "http", 1)
    send(engine, crm, run_id=-1)

    states = {each["fields"]["state"] for each in crm.objects["opportunity"].values()}
    figures = {each["fields"]["probability"] for each in crm.objects["account"].values()}
    assert (states, figures) == ({"withdrawn"}, {None})
    with pytest.raises(DeliveryError, match="changed nothing"):
        rollback.roll_back_run(engine, "http", 1)


def test_a_sender_that_was_overtaken_sends_nothing_more(engine: sa.Engine, crm: FaultyCrm) -> None:
    def overtaken(_: Any) -> None:
        with engine.execution_options(writes=True).begin() as connection:
            connection.execute(sa.update(LEASES).values(owner="elsewhere/1/abc"))

    stopped = send(engine, crm, tell=overtaken)

    assert "taken over" in (stopped.words or "")
    assert stopped.written == 0
    assert crm.objects == {}


def test_a_sender_at_work_is_left_alone_until_its_lease_is_over(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    mine = {"target": "http", "owner": "elsewhere/1/abc"}
    for until, works in ((timedelta(minutes=1), False), (timedelta(minutes=-1), True)):
        with engine.execution_options(writes=True).begin() as connection:
            connection.execute(sa.delete(LEASES))
            connection.execute(sa.insert(LEASES).values(**mine, until=killing.NOW + until))

        sent = send(engine, crm)

        assert bool(sent.written) is works
        assert ("at work" in (sent.words or "")) is not works


def test_who_was_dealt_with_is_asked_for_until_the_crm_has_told(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    crm.worked = [{"account_id": "acc_00001", "on": "2026-05-20"}]
    timer, asked = scenarios.Timer(), []
    for days, down in ((0, True), (7, False), (14, False)):
        crm.fault, crm.share = ("503" if down else None), 1.0
        target = http_target.HttpTarget(crm.start(), tells=True)
        sender.send_pending(
            engine,
            target,
            now=killing.ahead(days),
            clock=timer.clock,
            sleep=timer.sleep,
            budget_seconds=30,
        )
        asked.append(target.asked_since[-1])
        target.close()
        crm.stop()

    assert asked == [date(2026, 3, 3), date(2026, 3, 10), date(2026, 6, 6)]
    assert column(engine, sa.select(ACCOUNT_TOUCHES.c.account_id)) == ["acc_00001"]


def test_the_ledger_and_the_log_of_sendings_tell_what_was_done(
    engine: sa.Engine, crm: FaultyCrm
) -> None:
    sent = send(engine, crm)

    assert len(column(engine, sa.select(CHANGE_LOG.c.id))) == sent.written
    (counts,) = column(engine, sa.select(SYNC_RUNS.c.counts))
    assert counts == sent.to_dict()


def test_the_judge_sees_what_is_lost_doubled_overwritten_and_wrong() -> None:
    wanted = list(made_up.wanted(3))
    stands = [(row["kind"], row["key"], dict(row["fields"])) for row in wanted]
    stands[0][2]["rank"] = 9
    edits = {("account", "acc_00002", "note"): "mine"}

    found = judge.judged(wanted, [*stands[:-1], stands[1]], edits)

    assert (found.lost, found.doubled, found.overwritten, found.wrong) == (1, 1, 1, 1)


def test_every_fault_is_one_that_the_server_has() -> None:
    assert len(set(faulty_crm.FAULTS)) == 7

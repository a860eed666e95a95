"""What humans said of the lists, held against the contracts."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from data.config import settings
from data.errors import DeliveryError
from data.schemas import SubscriptionSchema
from features import subscription_timeline
from serving import store
from serving.cli import output
from serving.monitoring import feedback_report
from serving.store.schema import FEEDBACK, SCORES
from training.report.sections import feedback_section as said_section

MONDAY = date(2025, 3, 3)
LONG_AFTER = datetime(2025, 12, 1, tzinfo=UTC)


def answer(connection: sa.Connection, account: str, verdict: str, as_of: date = MONDAY) -> None:
    number = connection.scalar(sa.select(sa.func.count()).select_from(FEEDBACK))
    connection.execute(
        sa.insert(FEEDBACK).values(
            once=f"form-{number}",
            account_id=account,
            as_of=as_of,
            given_at=datetime(2025, 3, 4, 9, tzinfo=UTC),
            given_by="Ada",
            verdict=verdict,
        )
    )


def listed(connection: sa.Connection, account: str, probability: float) -> None:
    row = {"account_id": account, "as_of": MONDAY, "probability": probability}
    connection.execute(sa.insert(SCORES).values(row))


def contracts(grown: list[str], others: list[str]) -> pl.DataFrame:
    """Ten seats each; some of them twenty from 20 days after the list."""
    schema = SubscriptionSchema.create_empty().schema
    start, later = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 3, 23, tzinfo=UTC)
    rows: list[dict[str, Any]] = [
        {"account_id": each, "effective_date": start, "licensed_seats": 10.0}
        for each in grown + others
    ]
    rows += [
        {"account_id": each, "effective_date": later, "licensed_seats": 20.0} for each in grown
    ]
    told = [dict.fromkeys(schema) | {"plan": "team", "mrr": 100.0} | row for row in rows]
    return subscription_timeline.build_timeline(
        pl.DataFrame(told, schema=schema), plans=(), reliable_from=None
    )


@pytest.fixture
def known(tmp_path: Path) -> Any:
    file = tmp_path / "expansion.toml"
    file.write_text(
        'as_of = "data end"\nstate = "state"\n[tables]\nevents = "e.csv"\n'
        'subscriptions = "s.csv"\naccounts = "a.csv"\n'
    )
    return settings.load_settings(file)


def test_each_answer_is_counted_with_what_became_of_the_account(
    database: sa.Engine, known: Any
) -> None:
    with store.write_transaction(database) as connection:
        for account, probability in {"acme": 0.4, "beta": 0.2, "core": 0.1}.items():
            listed(connection, account, probability)
        answer(connection, "acme", "contacted")  # said again below: the last counts
        answer(connection, "acme", "won")
        answer(connection, "beta", "won")
        answer(connection, "core", "wrong")
        answer(connection, "dune", "wrong")  # was not on the list

    found = feedback_report.compare_feedback_with_outcomes(
        feedback_report.load_feedback(database),
        contracts(["acme", "core"], ["beta", "dune"]),
        known,
        end=LONG_AFTER,
    )

    assert found == [
        {
            "verdict": "won",
            "answers": 2,
            "expected": pytest.approx(0.3),
            "known": 2,
            "expanded": 1,
        },
        {
            "verdict": "wrong",
            "answers": 2,
            "expected": pytest.approx(0.1),
            "known": 2,
            "expanded": 1,
        },
    ]


def test_an_outcome_is_known_only_when_its_window_is_over(database: sa.Engine, known: Any) -> None:
    with store.write_transaction(database) as connection:
        listed(connection, "acme", 0.4)
        answer(connection, "acme", "won")
    said, history = feedback_report.load_feedback(database), contracts(["acme"], [])
    day = datetime(2025, 3, 3, tzinfo=UTC)

    def found(days: int) -> list[dict[str, Any]]:
        return feedback_report.compare_feedback_with_outcomes(
            said, history, known, end=day + timedelta(days=days)
        )

    (early,), (late,) = found(30), found(120)
    assert found(0) == []  # of a list that was not there yet
    assert (early["answers"], early["known"], early["expanded"]) == (1, 0, 0)
    assert (late["answers"], late["known"], late["expanded"]) == (1, 1, 1)


def test_answers_on_one_account_of_several_lists_are_each_counted(
    database: sa.Engine, known: Any
) -> None:
    with store.write_transaction(database) as connection:
        answer(connection, "acme", "not now")
        answer(connection, "acme", "won", MONDAY + timedelta(days=7))

    found = feedback_report.compare_feedback_with_outcomes(
        feedback_report.load_feedback(database), contracts(["acme"], []), known, end=LONG_AFTER
    )

    assert [(row["verdict"], row["answers"], row["expected"]) for row in found] == [
        ("won", 1, None),
        ("not now", 1, None),
    ]


def test_they_are_told_in_the_terminal_and_on_the_page(capsys: Any) -> None:
    row = {"verdict": "won", "answers": 1234, "expected": None, "known": 7, "expanded": 5}

    output.print_feedback_outcomes([row], ["it was away"])
    shown = capsys.readouterr().out
    (section,) = said_section.build_feedback_sections([row])

    assert "1,234" in shown
    assert "it was away" in shown
    assert ["won", "1,234", "", "7", "5"] in section.parts[1].rows  # type: ignore[union-attr]
    assert said_section.build_feedback_sections([]) == []


def test_asking_for_a_database_makes_none(database_url: str, tmp_path: Path) -> None:
    at_first = store.database_exists(database_url)
    assert at_first is database_url.startswith("postgresql")  # a server tells when it is opened
    assert list(tmp_path.iterdir()) == []

    store.open_engine(database_url).dispose()

    assert store.database_exists(database_url)
    with pytest.raises(DeliveryError, match="names a database"):
        store.database_exists("no url")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_evaluate_reads_the_answers_and_does_without_a_database_that_is_away(
    road: Any, tmp_path: Path
) -> None:
    company = type(road)(Path(copytree(road.folder, tmp_path / "copy")))
    line = company.shown()["accounts"][0]
    engine = store.open_engine(settings.load_settings(company.config).database_url)
    with store.write_transaction(engine) as connection:
        answer(connection, line["account_id"], "won", date.fromisoformat(company.shown()["as_of"]))
    engine.dispose()

    tomorrow = datetime.now(UTC).date() + timedelta(days=1)  # what was answered today is known

    told = company.ask("evaluate", "--as-of", tomorrow, "--html", tmp_path / "page.html")
    assert [each["verdict"] for each in told["answers"]] == ["won"]
    assert told["answers"][0]["expected"] == pytest.approx(line["probability"])
    assert "What humans said of the lists" in (tmp_path / "page.html").read_text(encoding="utf-8")

    with company.config.open("a") as file:
        file.write('[crm]\nurl = "postgresql+psycopg://127.0.0.1:1/nobody"\n')
    told = company.ask("evaluate")
    assert told["answers"] == []
    assert any("What humans said of the lists is left out" in note for note in told["notes"])

"""CSM feedback compared with contract outcomes."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from data.config import settings
from data.config.settings import OutcomeConfig
from data.errors import DeliveryError
from data.schemas import SubscriptionSchema
from features import subscription_timeline
from serving import store
from serving.cli.output import evaluation_tables
from serving.monitoring import feedback_report
from serving.store.schema import FEEDBACK, SCORES
from training.report.sections import calibration_section

MONDAY = date(2025, 3, 3)
OUTCOME = OutcomeConfig()
MATURED = datetime(2025, 12, 1, tzinfo=UTC)


def insert_feedback(
    connection: sa.Connection, account: str, verdict: str, as_of: date = MONDAY
) -> None:
    count = connection.scalar(sa.select(sa.func.count()).select_from(FEEDBACK))
    connection.execute(
        sa.insert(FEEDBACK).values(
            form_id=f"form-{count}",
            account_id=account,
            as_of=as_of,
            created_at=datetime(2025, 3, 4, 9, tzinfo=UTC),
            created_by="Ada",
            verdict=verdict,
        )
    )


def insert_score(connection: sa.Connection, account: str, probability: float) -> None:
    row = {"account_id": account, "as_of": MONDAY, "probability": probability}
    connection.execute(sa.insert(SCORES).values(row))


def build_contracts(expanding: list[str], others: list[str]) -> pl.DataFrame:
    """Build contracts of ten seats; some expand to twenty 20 days after the list."""
    schema = SubscriptionSchema.create_empty().schema
    start, later = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 3, 23, tzinfo=UTC)
    rows: list[dict[str, Any]] = [
        {"account_id": account, "effective_date": start, "licensed_seats": 10.0}
        for account in expanding + others
    ]
    rows += [
        {"account_id": account, "effective_date": later, "licensed_seats": 20.0}
        for account in expanding
    ]
    filled = [dict.fromkeys(schema) | {"plan": "team", "mrr": 100.0} | row for row in rows]
    return subscription_timeline.build_timeline(
        pl.DataFrame(filled, schema=schema), plans=(), reliable_from=None
    )


def test_feedback_is_counted_with_the_outcome(database: sa.Engine) -> None:
    with store.write_transaction(database) as connection:
        for account, probability in {"acme": 0.4, "beta": 0.2, "core": 0.1}.items():
            insert_score(connection, account, probability)
        insert_feedback(connection, "acme", "contacted")  # replaced below: the latest counts
        insert_feedback(connection, "acme", "won")
        insert_feedback(connection, "beta", "won")
        insert_feedback(connection, "core", "wrong")
        insert_feedback(connection, "dune", "wrong")  # was not on the list

    outcomes = feedback_report.compare_feedback_with_outcomes(
        feedback_report.load_feedback(database),
        build_contracts(["acme", "core"], ["beta", "dune"]),
        OUTCOME,
        end=MATURED,
    )

    assert outcomes == [
        {
            "verdict": "won",
            "entries": 2,
            "expected": pytest.approx(0.3),
            "labelled": 2,
            "expanded": 1,
        },
        {
            "verdict": "wrong",
            "entries": 2,
            "expected": pytest.approx(0.1),
            "labelled": 2,
            "expanded": 1,
        },
    ]


def test_a_label_matures_when_its_window_ends(database: sa.Engine) -> None:
    with store.write_transaction(database) as connection:
        insert_score(connection, "acme", 0.4)
        insert_feedback(connection, "acme", "won")
    feedback, timeline = feedback_report.load_feedback(database), build_contracts(["acme"], [])
    day = datetime(2025, 3, 3, tzinfo=UTC)

    def outcomes(days: int) -> list[dict[str, Any]]:
        return feedback_report.compare_feedback_with_outcomes(
            feedback, timeline, OUTCOME, end=day + timedelta(days=days)
        )

    (before,), (after,) = outcomes(30), outcomes(120)
    assert outcomes(0) == []  # before the list
    assert (before["entries"], before["labelled"], before["expanded"]) == (1, 0, 0)
    assert (after["entries"], after["labelled"], after["expanded"]) == (1, 1, 1)


def test_feedback_on_several_lists_is_counted_separately(database: sa.Engine) -> None:
    with store.write_transaction(database) as connection:
        insert_feedback(connection, "acme", "not now")
        insert_feedback(connection, "acme", "won", MONDAY + timedelta(days=7))

    outcomes = feedback_report.compare_feedback_with_outcomes(
        feedback_report.load_feedback(database), build_contracts(["acme"], []), OUTCOME, end=MATURED
    )

    assert [(row["verdict"], row["entries"], row["expected"]) for row in outcomes] == [
        ("won", 1, None),
        ("not now", 1, None),
    ]


def test_feedback_is_shown_in_the_terminal_and_on_the_page(capsys: Any) -> None:
    row = {"verdict": "won", "entries": 1234, "expected": None, "labelled": 7, "expanded": 5}

    evaluation_tables.print_feedback_outcomes([row], ["it was away"])
    shown = capsys.readouterr().out
    (section,) = calibration_section.build_feedback_sections([row])

    assert "1,234" in shown
    assert "it was away" in shown
    assert ["won", "1,234", "", "7", "5"] in section.parts[1].rows  # type: ignore[union-attr]
    assert calibration_section.build_feedback_sections([]) == []


def test_checking_for_a_database_does_not_create_it(database_url: str, tmp_path: Path) -> None:
    exists = store.database_exists(database_url)
    assert exists is database_url.startswith("postgresql")  # a server is only checked when opened
    assert list(tmp_path.iterdir()) == []

    store.open_engine(database_url).dispose()

    assert store.database_exists(database_url)
    with pytest.raises(DeliveryError, match="no driver for the database"):
        store.database_exists("no url")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_evaluate_uses_feedback_and_works_without_the_database(
    trained_company: Any, tmp_path: Path
) -> None:
    copied = type(trained_company)(Path(copytree(trained_company.folder, tmp_path / "copy")))
    first_row = copied.active_list()["accounts"][0]
    engine = store.open_engine(settings.load_settings(copied.config).database_url)
    with store.write_transaction(engine) as connection:
        insert_feedback(
            connection,
            first_row["account_id"],
            "won",
            date.fromisoformat(copied.active_list()["as_of"]),
        )
    engine.dispose()

    tomorrow = datetime.now(UTC).date() + timedelta(days=1)  # includes today's feedback

    payload = copied.run_json("evaluate", "--as-of", tomorrow, "--html", tmp_path / "page.html")
    assert [entry["verdict"] for entry in payload["feedback"]] == ["won"]
    assert payload["feedback"][0]["expected"] == pytest.approx(first_row["probability"])
    assert "CSM feedback on the lists" in (tmp_path / "page.html").read_text(encoding="utf-8")

    with copied.config.open("a") as file:
        file.write('[database]\nurl = "postgresql+psycopg://127.0.0.1:1/nobody"\n')
    payload = copied.run_json("evaluate")
    assert payload["feedback"] == []
    assert any("CSM feedback is omitted" in note for note in payload["notes"])

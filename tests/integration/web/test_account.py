"""The account page: list row, history and feedback form."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from serving import store
from serving.store import queries, writers
from serving.store.schema import ACCOUNT_TOUCHES, FEEDBACK
from serving.web.queries import account_view, run_status
from tests.integration.web.web_client import (
    MONDAY,
    NOW,
    WebFixture,
    build_rows,
    insert_alert,
    read_hidden_fields,
    submit_feedback,
    write_list,
)


def load_feedback(site: WebFixture) -> list[dict[str, object]]:
    return store.fetch_rows(site.engine, sa.select(FEEDBACK))


def load_touches(site: WebFixture) -> list[tuple[object, ...]]:
    return [
        tuple(row.values()) for row in store.fetch_rows(site.engine, sa.select(ACCOUNT_TOUCHES))
    ]


def test_an_account_shows_its_row_charts_and_history(site: WebFixture) -> None:
    row = site.rows[3]

    page = site.get_text("/account?id=acc_00003")

    for text in (row["name"], "3 people active on 4 seats", "Nobody new for 31 days"):
        assert text in page
    assert f"{row['probability']:.0%}" in page
    assert page.count('<svg class="chart"') == 4
    assert "30% within 60 days" in page
    assert "signed ahead" in page  # the contract step of August
    assert page.count("<tr class=") == 6  # base value, three reason groups, all others, and the sum


def test_an_account_that_is_not_listed_shows_the_reason(site: WebFixture) -> None:
    assert "Not on the list: on trial." in site.get_text("/account?id=gone")


def test_feedback_is_stored_once_and_shown(site: WebFixture) -> None:
    page = site.get_text("/account?id=acc_00003")
    form = {**read_hidden_fields(page), "verdict": "contacted", "reason": "rang them"}

    for _ in range(2):  # a double click
        response = site.client.post("/account?id=acc_00003", data=form)
        assert response.status_code == 303
        assert response.headers["location"] == "/account?id=acc_00003#feedback"

    (row,) = load_feedback(site)
    assert (row["account_id"], row["as_of"], row["verdict"]) == ("acc_00003", MONDAY, "contacted")
    assert load_touches(site) == [("acc_00003", NOW.date(), "contacted, reported on the page")]
    assert "rang them" in site.get_text("/account?id=acc_00003")
    assert 'class="pill feedback">Contacted' in site.get_text("/", params={"q": "acc_00003"})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Choose an outcome"),
        ({"verdict": "adored"}, "Choose an outcome"),
        ({"verdict": "wrong"}, "State the reason"),
        ({"verdict": "not now", "snoozed_until": "soon"}, "Enter the date as"),
        ({"verdict": "not now", "snoozed_until": "2026-06-02"}, "Choose a date after 2026-06-02"),
        ({"verdict": "not now", "snoozed_until": "2036-06-02"}, "Choose a date after 2026-06-02"),
        ({"verdict": "won", "form_id": "?"}, "reload the page"),
    ],
)
def test_invalid_feedback_is_explained_and_not_stored(
    site: WebFixture, fields: dict[str, str], message: str
) -> None:
    response = submit_feedback(site.client, "acc_00001", **fields)

    assert response.status_code == 422
    assert message in response.text
    assert load_feedback(site) == []


def test_not_now_suppresses_until_its_date_and_no_longer(site: WebFixture) -> None:
    submit_feedback(site.client, "acc_00001", verdict="not now", snoozed_until="2026-06-20")
    submit_feedback(site.client, "acc_00002", verdict="not now", snoozed_until="2027-06-20")
    submit_feedback(site.client, "acc_00003", verdict="not now")

    assert load_touches(site) == [("acc_00003", NOW.date(), "not now, reported on the page")]
    week = MONDAY + timedelta(days=7)
    far = {"acc_00002": date(2027, 6, 20)}
    assert queries.load_snoozes(site.engine, week) == {"acc_00001": date(2026, 6, 20), **far}
    assert queries.load_snoozes(site.engine, date(2026, 6, 20)) == far
    assert queries.load_snoozes(site.engine, NOW.date()) == {}  # submitted later on that day


def test_the_latest_feedback_wins(site: WebFixture) -> None:
    submit_feedback(site.client, "acc_00001", verdict="not now", snoozed_until="2026-09-01")
    submit_feedback(site.client, "acc_00001", verdict="won")

    assert queries.load_snoozes(site.engine, date(2026, 6, 8)) == {}


def test_wrong_suppresses_nothing_and_is_exported(site: WebFixture) -> None:
    submit_feedback(site.client, "acc_00001", verdict="wrong", reason="=they left\nlong ago")

    (row,) = csv.DictReader(io.StringIO(site.client.get("/feedback.csv").text))

    assert load_touches(site) == []
    assert (row["verdict"], row["reason"], row["rank"]) == ("wrong", "'=they left long ago", "2")
    assert datetime.fromisoformat(row["created_at"]).replace(tzinfo=UTC) == NOW


def test_the_model_page_shows_feedback_by_band(site: WebFixture) -> None:
    submit_feedback(site.client, "acc_00000", verdict="wrong", reason="no")
    submit_feedback(site.client, "acc_00000", verdict="won")  # the latest of one list counts

    page = site.get_text("/model").split("User feedback")[1]

    band = site.rows[0]["band"]
    cells = page.split(f'<th scope="row">{band}</th>')[1].split("</tr>")[0]
    assert [part.split("<")[0] for part in cells.split('class="num">')[1:]] == ["0", "1", "0", "0"]


def test_the_model_runs_and_health_pages_respond(site: WebFixture) -> None:
    assert "The model beats the base rate." in site.get_text("/model")
    assert "47.5%" in site.get_text("/model")
    assert site.get_text("/runs").count('class="ok"') == 1  # 3 of 9 events were rejected
    assert "3 events were rejected" in site.get_text("/runs")
    assert site.get_text("/health") == "ok"


def test_before_the_first_list_the_page_names_the_command(site: WebFixture) -> None:
    with store.write_transaction(site.engine) as connection:
        for table in ("runs", "scores"):
            connection.execute(sa.text(f"DELETE FROM {table}"))

    for path in ("/", "/model"):
        assert "expansion score" in site.get_text(path)
    for path in ("/list.csv", "/feedback.csv", "/account?id=acc_00000"):
        assert site.client.get(path).status_code == 404


def test_alerts_are_shown_next_to_past_lists(site: WebFixture) -> None:
    insert_alert(site.engine, "acc_00003", severity="urgent", at=MONDAY)
    insert_alert(site.engine, "acc_00004", severity="priority", at=date(2026, 3, 2), closed=MONDAY)

    fresh, ended = (site.get_text(f"/account?id=acc_0000{n}") for n in (3, 4))

    for page in (fresh, ended):
        assert "Alerts between lists" in page
        assert "9/10 seats in use (90%), up from 6 in" in page
    assert "Since 1 June: 9/10 seats" in fresh
    assert "<td>open</td>" in fresh
    assert "Since" not in ended
    assert "<td>1 June 2026: relieved</td>" in ended


def test_an_empty_history_has_no_heading(site: WebFixture) -> None:
    assert ">History<" in site.get_text("/account?id=acc_00003")
    assert ">History<" not in site.get_text("/account?id=gone")
    assert "Alerts between lists" not in site.get_text("/account?id=acc_00003")


def test_a_rules_only_row_shows_no_model_output(site: WebFixture) -> None:
    names = "probability low high band band_track_record expected_date expected_arr margin base"
    names += " expected_early expected_late churn_probability probability_180d"
    unknown = dict.fromkeys(names.split())
    write_list(site.engine, [{**row, **unknown, "contributions": "{}"} for row in build_rows(9)])

    for path in ("/", "/account?id=acc_00003", "/model", "/list.csv"):
        page = site.get_text(path)
        assert not re.search(r"\bNone\b", page.replace(">None</option>", ""))
        assert "Probabilities are" not in page
        assert ">Probability</a>" not in page
    assert "ranked by rules, without a model" in site.get_text("/account?id=acc_00003")


def test_every_account_has_a_page_in_every_portfolio(site: WebFixture) -> None:
    for row in site.rows[:40]:
        page = site.get_text("/account", params={"id": row["account_id"]})
        group = f"in {row['csm']}’s portfolio" if row["csm"] else "among accounts without a CSM"
        assert f"{row['portfolio_rank']} {group}" in page


def test_contract_rows_without_a_change_are_omitted() -> None:
    contract = {
        "effective": ["2025-01-01", "2025-02-01", "2025-03-01", "2025-04-01", "2025-05-01"],
        "seats": [5.0, 5.0, 6.0, 6.0, 6.0],
        "usage_limit": [None] * 5,
        "plan": ["team"] * 5,
        "mrr": [100.0] * 5,
        "change": ["new", None, None, "renewal", None],
        "status": ["paid", "paid", "paid", "paid", "lapsed"],
    }

    effective = [row["effective"] for row in account_view.list_changed_terms(contract)]

    assert effective == ["2025-05-01", "2025-04-01", "2025-03-01", "2025-01-01"]
    assert account_view.list_changed_terms(None) == []
    assert account_view.list_named_terms(account_view.list_changed_terms(contract)) == {
        "seats",
        "plan",
        "mrr",
        "status",
    }


def test_without_csms_no_portfolio_is_shown(site: WebFixture) -> None:
    write_list(
        site.engine, [{**row, "csm": None, "note": "Only 3 events"} for row in build_rows(4)]
    )

    page, one = site.get_text("/"), site.get_text("/account?id=acc_00003")

    for each in (page, one):
        assert "no CSM" not in each
        assert ">No CSM (" not in each
    assert "portfolio" not in page.split('class="facts')[1].split("</dl>")[0]
    assert "portfolio" not in one.split('class="facts')[1].split("</dl>")[0]
    assert "<dt>On the list</dt>" in page
    assert page.count("Only 3 events") == 4


def test_a_note_is_not_a_change(site: WebFixture) -> None:
    write_list(
        site.engine, [{**row, "changes": [], "note": "Only 3 events"} for row in build_rows(4)]
    )

    page = site.get_text("/account?id=acc_00003")

    assert "<h3>Changes</h3>" not in page
    assert "<h3>Note</h3><ul><li>Only 3 events</li></ul>" in page


def test_a_fallback_ranking_shows_its_own_metrics(site: WebFixture) -> None:
    run = dict(queries.load_run_record(site.engine, MONDAY))
    figures = {
        "model": {"precision_at_capacity": 0.475, "auroc": 0.82, "observed_to_expected": 0.5},
        "rule: tier 1": {"precision_at_capacity": 0.125, "auroc": 0.61, "log_loss_skill": None},
    }
    # 100 of 300 expanded where 80 were expected.
    bands = [
        {"band": "a", "snapshots": 100, "expected": 0.4, "value": 0.5, "low": 0.4, "high": 0.6},
        {"band": "b", "snapshots": 200, "expected": 0.2, "value": 0.25, "low": 0.2, "high": 0.3},
    ]
    run |= {"ranking": "rule: tier 1", "bands": bands, "card": {"metrics": figures, "gate": {}}}
    with store.write_transaction(site.engine) as connection:
        writers.insert_run(connection, MONDAY, model="rule: tier 1", record=run, finished_at=NOW)

    page = site.get_text("/model")

    facts = page.split('<dl class="facts">')[1].split("</dl>")[0]
    assert re.findall(r'class="value">([^<]*)<', facts) == ["12.5%", "0.610", "1.25"]
    assert '<tr class="strong"><th scope="row">rule: tier 1, used for the list</th>' in page
    assert '<th scope="row">the model, not promoted</th><td class="num">47.5%</td>' in page
    assert (
        run_status.get_ranking_metrics({"bands": [], "card": {"metrics": figures}})["auroc"] == 0.82
    )


def test_a_small_churn_probability_is_not_shown_as_zero(site: WebFixture) -> None:
    for probability, text in ((0.0001, "under 0.1%"), (0.0006, "0.1%"), (0.031, "3.1%")):
        write_list(
            site.engine, [{**row, "churn_probability": probability} for row in build_rows(2)]
        )

        assert f'<dd class="value">{text}</dd>' in site.get_text("/account?id=acc_00001")


def test_the_model_page_shows_metrics_by_segment(site: WebFixture) -> None:
    def figure(value: float | None) -> dict[str, float | None]:
        return {"value": value, "low": value and value - 0.1, "high": value and value + 0.1}

    kinds = {
        name: {
            "snapshots": 1234,
            "expanded": expanded,
            "auroc": figure(auroc),
            "precision_at_capacity": figure(0.475),
            "observed_to_expected": figure(1.0),
        }
        for name, expanded, auroc in (("1 to 10", 56, 0.82), ("<11 & more>", 0, None))
    }
    run = dict(queries.load_run_record(site.engine, MONDAY))
    run["card"]["segments"] = {"size": kinds}
    with store.write_transaction(site.engine) as connection:
        writers.insert_run(connection, MONDAY, model="1", record=run, finished_at=NOW)

    page = site.get_text("/model")

    table = page.split("By segment")[1].split("</table>")[0]
    rows = [re.sub(r"<[^>]+>", "|", row) for row in table.split("<tr>")[2:]]
    assert rows[0].strip("|\n") == "Size"
    assert [cell.strip() for cell in rows[1].split("|") if cell.strip()] == [
        *("1 to 10", "1,234", "56", "47.5%", "37.5% to 57.5%"),
        *("0.82", "0.72 to 0.92", "1.00", "0.90 to 1.10"),
    ]
    assert "&lt;11 &amp; more&gt;" in rows[2]
    assert '<td class="num">–</td>' in table

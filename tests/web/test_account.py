"""The page of an account shows what the list said of it, and takes what a human says."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa
from web_office import MONDAY, NOW, Office, answered, enter, lines, office, raised, seal_of

from serving import store
from serving.store import queries, writers
from serving.store.schema import ACCOUNT_TOUCHES, FEEDBACK
from serving.web.queries import account_view, run_status


def kept(office: Office) -> list[dict[str, object]]:
    with store.read_transaction(office.engine) as connection:
        return [dict(row) for row in connection.execute(sa.select(FEEDBACK)).mappings()]


def worked(office: Office) -> list[tuple[object, ...]]:
    with store.read_transaction(office.engine) as connection:
        return [tuple(row) for row in connection.execute(sa.select(ACCOUNT_TOUCHES))]


def test_an_account_shows_its_line_its_charts_and_its_past(office: Office) -> None:
    row = office.rows[3]

    page = office.text("/account?id=acc_00003")

    for told in (row["name"], "3 people active on 4 seats", "Nobody new for 31 days"):
        assert told in page
    assert f"{row['probability']:.0%}" in page
    assert page.count('<svg class="chart"') == 4
    assert "30% within 60 days" in page
    assert "signed ahead" in page  # the step of August
    assert page.count("<tr class=") == 6  # start, three stories, all else, and the sum


def test_one_that_is_not_on_the_list_shows_the_reason(office: Office) -> None:
    assert "Not on the list: on trial." in office.text("/account?id=gone")


def test_an_answer_is_kept_once_with_its_list_and_shown(office: Office) -> None:
    page = office.text("/account?id=acc_00003")
    form = {**seal_of(page), "verdict": "contacted", "why": "rang them"}

    for _ in range(2):  # a finger that clicks twice
        answer = office.browser.post("/account?id=acc_00003", data=form)
        assert answer.status_code == 303
        assert answer.headers["location"] == "/account?id=acc_00003#said"

    (row,) = kept(office)
    assert (row["account_id"], row["as_of"], row["verdict"]) == ("acc_00003", MONDAY, "contacted")
    assert worked(office) == [("acc_00003", NOW.date(), "contacted, as told on the page")]
    assert "rang them" in office.text("/account?id=acc_00003")
    assert 'class="pill said">Contacted' in office.text("/", params={"q": "acc_00003"})


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "Choose what became of it"),
        ({"verdict": "adored"}, "Choose what became of it"),
        ({"verdict": "wrong"}, "Say in a few words"),
        ({"verdict": "not now", "until": "soon"}, "Write the day as"),
        ({"verdict": "not now", "until": "2026-06-02"}, "Choose a day after 2026-06-02"),
        ({"verdict": "not now", "until": "2036-06-02"}, "Choose a day after 2026-06-02"),
        ({"verdict": "won", "once": "?"}, "Load the page again"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said_and_nothing_kept(
    office: Office, said: dict[str, str], words: str
) -> None:
    answer = answered(office.browser, "acc_00001", **said)

    assert answer.status_code == 422
    assert words in answer.text
    assert kept(office) == []


def test_not_now_rests_until_its_day_and_no_longer(office: Office) -> None:
    answered(office.browser, "acc_00001", verdict="not now", until="2026-06-20")
    answered(office.browser, "acc_00002", verdict="not now", until="2027-06-20")
    answered(office.browser, "acc_00003", verdict="not now")

    assert worked(office) == [("acc_00003", NOW.date(), "not now, as told on the page")]
    week = MONDAY + timedelta(days=7)
    far = {"acc_00002": date(2027, 6, 20)}
    assert queries.load_snoozes(office.engine, week) == {"acc_00001": date(2026, 6, 20), **far}
    assert queries.load_snoozes(office.engine, date(2026, 6, 20)) == far
    assert queries.load_snoozes(office.engine, NOW.date()) == {}  # said later on that day


def test_the_last_answer_holds(office: Office) -> None:
    answered(office.browser, "acc_00001", verdict="not now", until="2026-09-01")
    answered(office.browser, "acc_00001", verdict="won")

    assert queries.load_snoozes(office.engine, date(2026, 6, 8)) == {}


def test_wrong_changes_no_rest_and_is_in_the_file(office: Office) -> None:
    answered(office.browser, "acc_00001", verdict="wrong", why="=they left\nlong ago")

    (row,) = csv.DictReader(io.StringIO(office.browser.get("/feedback.csv").text))

    assert worked(office) == []
    assert (row["verdict"], row["why"], row["rank"]) == ("wrong", "'=they left long ago", "2")
    assert datetime.fromisoformat(row["given_at"]).replace(tzinfo=UTC) == NOW


def test_the_model_page_sets_answers_beside_bands(office: Office) -> None:
    answered(office.browser, "acc_00000", verdict="wrong", why="no")
    answered(office.browser, "acc_00000", verdict="won")  # of one list the last

    page = office.text("/model").split("What humans said")[1]

    band = office.rows[0]["band"]
    cells = page.split(f'<th scope="row">{band}</th>')[1].split("</tr>")[0]
    assert [part.split("<")[0] for part in cells.split('class="num">')[1:]] == ["0", "1", "0", "0"]


def test_model_runs_and_health_are_told(office: Office) -> None:
    assert "The model beats the base rate." in office.text("/model")
    assert "47.5%" in office.text("/model")
    assert office.text("/runs").count('class="well"') == 1  # 3 of 9 events were refused
    assert "3 events were refused" in office.text("/runs")
    assert office.text("/health") == "well"


def test_before_the_first_list_the_page_says_how_to_make_it(tmp_path) -> None:
    with office(tmp_path, count=3) as opened:
        with store.write_transaction(opened.engine) as connection:
            for table in ("runs", "scores"):
                connection.execute(sa.text(f"DELETE FROM {table}"))

        assert "expansion score" in opened.text("/")
        assert opened.browser.get("/list.csv").status_code == 404
        assert opened.browser.get("/account?id=acc_00000").status_code == 404


def test_signals_of_events_are_told_beside_past_lists(office: Office) -> None:
    raised(office.engine, "acc_00003", level="urgent", at=MONDAY)
    raised(office.engine, "acc_00004", level="priority", at=date(2026, 3, 2), closed=MONDAY)

    fresh, ended = (office.text(f"/account?id=acc_0000{n}") for n in (3, 4))

    for page in (fresh, ended):
        assert "Signals between lists" in page
        assert "9/10 seats in use (90%), up from 6 in" in page
    assert "Since 1 June: 9/10 seats" in fresh
    assert "<td>under way</td>" in fresh
    assert "Since" not in ended
    assert "<td>1 June 2026: relieved</td>" in ended


def test_where_nothing_was_before_there_is_no_head_over_nothing(office: Office) -> None:
    assert ">Before<" in office.text("/account?id=acc_00003")
    assert ">Before<" not in office.text("/account?id=gone")
    assert "Signals between lists" not in office.text("/account?id=acc_00003")


def test_a_line_of_the_rules_alone_is_shown_without_what_only_a_model_knows(
    office: Office,
) -> None:
    names = ("probability", "low", "high", "band", "band_told", "expected_date", "expected_arr")
    unknown = dict.fromkeys((*names, "expected_early", "expected_late", "churn_probability"))
    unknown |= {"margin": None, "base": None, "probability_180d": None}
    enter(office.engine, [{**row, **unknown, "contributions": "{}"} for row in lines(9)])

    for path in ("/", "/account?id=acc_00003", "/model", "/list.csv"):
        page = office.text(path)
        assert not re.search(r"\bNone\b", page.replace(">None</option>", ""))
        assert "Chances are" not in page
        assert ">Chance</a>" not in page
    assert "without a model the rules rank" in office.text("/account?id=acc_00003")


def test_every_account_has_its_page_whosever_book_it_is_in(office: Office) -> None:
    for row in office.rows[:40]:
        page = office.text("/account", params={"id": row["account_id"]})
        whose = f"{row['csm']}’s" if row["csm"] else "nobody’s"
        assert f"{row['book_rank']} in {whose} book" in page


def test_rows_of_a_contract_that_change_nothing_are_left_out() -> None:
    contract = {
        "effective": ["2025-01-01", "2025-02-01", "2025-03-01", "2025-04-01", "2025-05-01"],
        "seats": [5.0, 5.0, 6.0, 6.0, 6.0],
        "usage_limit": [None] * 5,
        "plan": ["team"] * 5,
        "mrr": [100.0] * 5,
        "change": ["new", None, None, "renewal", None],
        "status": ["paid", "paid", "paid", "paid", "lapsed"],
    }

    found = [row["effective"] for row in account_view.list_changed_terms(contract)]

    assert found == ["2025-05-01", "2025-04-01", "2025-03-01", "2025-01-01"]
    assert account_view.list_changed_terms(None) == []
    assert account_view.list_named_terms(account_view.list_changed_terms(contract)) == {
        "seats",
        "plan",
        "mrr",
        "status",
    }


def test_where_no_account_has_a_csm_nothing_is_said_of_books(office: Office) -> None:
    enter(office.engine, [{**row, "csm": None, "note": "Only 3 events"} for row in lines(4)])

    page, one = office.text("/"), office.text("/account?id=acc_00003")

    for each in (page, one):
        assert "nobody’s" not in each
        assert ">Nobody (" not in each
    assert "book" not in page.split('class="facts')[1].split("</dl>")[0]
    assert "book" not in one.split('class="facts')[1].split("</dl>")[0]
    assert "<dt>On the list</dt>" in page
    assert page.count("Only 3 events") == 4


def test_a_note_is_no_news(office: Office) -> None:
    enter(office.engine, [{**row, "changed": [], "note": "Only 3 events"} for row in lines(4)])

    page = office.text("/account?id=acc_00003")

    assert "What is new" not in page
    assert "<h3>What to know</h3><ul><li>Only 3 events</li></ul>" in page


def test_where_a_simple_ranking_serves_the_figures_are_its_own(office: Office) -> None:
    run = run_status.load_run(office.engine, MONDAY)["record"]
    figures = {
        "model": {"precision_at_capacity": 0.475, "auroc": 0.82, "observed_to_expected": 0.5},
        "rule: tier 1": {"precision_at_capacity": 0.125, "auroc": 0.61, "log_loss_skill": None},
    }
    # 100 of 300 came true where 80 were expected.
    bands = [
        {"band": "a", "snapshots": 100, "expected": 0.4, "value": 0.5, "low": 0.4, "high": 0.6},
        {"band": "b", "snapshots": 200, "expected": 0.2, "value": 0.25, "low": 0.2, "high": 0.3},
    ]
    run |= {"ranking": "rule: tier 1", "bands": bands, "card": {"figures": figures, "gate": {}}}
    with store.write_transaction(office.engine) as connection:
        writers.insert_run(connection, MONDAY, model="rule: tier 1", record=run, finished_at=NOW)

    page = office.text("/model")

    facts = page.split('<dl class="facts">')[1].split("</dl>")[0]
    assert re.findall(r'class="value">([^<]*)<', facts) == ["12.5%", "0.610", "1.25"]
    assert '<tr class="strong"><th scope="row">rule: tier 1, which ranks the list</th>' in page
    assert '<th scope="row">the model, not promoted</th><td class="num">47.5%</td>' in page
    assert (
        run_status.get_ranking_metrics({"bands": [], "card": {"figures": figures}})["auroc"] == 0.82
    )


def test_a_chance_to_leave_is_never_told_as_none(office: Office) -> None:
    for chance, told in ((0.0001, "under 0.1%"), (0.0006, "0.1%"), (0.031, "3.1%")):
        enter(office.engine, [{**row, "churn_probability": chance} for row in lines(2)])

        assert f'<dd class="value">{told}</dd>' in office.text("/account?id=acc_00001")


def test_the_model_is_shown_for_each_kind_of_account(office: Office) -> None:
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
    run = run_status.load_run(office.engine, MONDAY)["record"]
    run["card"]["segments"] = {"size": kinds}
    with store.write_transaction(office.engine) as connection:
        writers.insert_run(connection, MONDAY, model="1", record=run, finished_at=NOW)

    page = office.text("/model")

    table = page.split("By kind of account")[1].split("</table>")[0]
    rows = [re.sub(r"<[^>]+>", "|", row) for row in table.split("<tr>")[2:]]
    assert rows[0].strip("|\n") == "Size"
    assert [cell.strip() for cell in rows[1].split("|") if cell.strip()] == [
        *("1 to 10", "1,234", "56", "47.5%", "37.5% to 57.5%"),
        *("0.82", "0.72 to 0.92", "1.00", "0.90 to 1.10"),
    ]
    assert "&lt;11 &amp; more&gt;" in rows[2]
    assert '<td class="num">–</td>' in table

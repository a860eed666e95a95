"""Nobody sees a book that is not theirs, by whatever road they come."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import ValidationError
from web_office import LEAD_TOKEN, SIGNED_IN, TOKENS, Office, answered, office, seal_of

from data.config.settings import Settings, Web
from serving import store
from serving.store.schema import FEEDBACK

PAGES = ("/", "/?csm=Ben", "/?page=2", "/list.csv", "/list.csv?csm=Ben", "/feedback.csv", "/model")
PAGES += ("/runs", "/?q=Ben", "/?sort=name")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Office]:
    """A page with a token for a lead, and one for each CSM."""
    with office(tmp_path, web=SIGNED_IN) as opened:
        yield opened


def signed_in(closed: Office, token: str) -> httpx.Client:
    browser = closed.again()
    answer = browser.post("/sign-in", data={"token": token, "to": "/model"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/model")
    return browser


def of(closed: Office, csm: str | None) -> dict[str, Any]:
    """One account of a book, with a name that is found nowhere else."""
    return next(dict(row) for row in closed.rows if row["csm"] == csm)


def test_without_a_token_nothing_is_told(closed: Office) -> None:
    for path in (*PAGES, "/account?id=acc_00000"):
        answer = closed.browser.get(path)

        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?to=%2F")
        assert "acc_0" not in answer.text
    assert closed.browser.post("/account?id=acc_00000", data={}).status_code == 401
    assert closed.browser.get("/health").text == "well"


def test_a_wrong_token_is_not_let_in(closed: Office) -> None:
    for token in ("", "a", TOKENS["Ada"][:-1], TOKENS["Ada"] + "x", "é" * 20):
        answer = closed.browser.post("/sign-in", data={"token": token})

        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


def test_a_csm_sees_one_book_and_a_lead_every(closed: Office) -> None:
    ada, lead = signed_in(closed, TOKENS["Ada"]), signed_in(closed, LEAD_TOKEN)
    strangers = {row["account_id"] for row in closed.rows if row["csm"] != "Ada"}
    hers = {row["account_id"] for row in closed.rows if row["csm"] == "Ada"}

    for path in PAGES:
        told = ada.get(path).text
        assert not [each for each in strangers if each in told], path
    one, every = ada.get("/list.csv").text, lead.get("/list.csv").text
    assert not [each for each in hers if each not in one]
    assert not [each for each in strangers | hers if each not in every]


def test_another_books_account_is_as_good_as_none(closed: Office) -> None:
    ada = signed_in(closed, TOKENS["Ada"])
    hers, others = of(closed, "Ada")["account_id"], of(closed, "Ben")["account_id"]
    form = seal_of(ada.get("/account", params={"id": hers}).text)

    there = [ada.get("/account", params={"id": each}).text for each in (others, "nobody at all")]
    told = ada.post("/account", params={"id": others}, data={**form, "verdict": "won"})

    assert there[0] == there[1]
    assert told.status_code == 404
    with store.read_transaction(closed.engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(FEEDBACK)) == 0


def test_what_is_said_of_one_book_is_in_no_other_file(closed: Office) -> None:
    ben = signed_in(closed, TOKENS["Ben"])
    answered(ben, of(closed, "Ben")["account_id"], verdict="wrong", why="a secret of Ben's")

    assert "a secret of Ben's" in ben.get("/feedback.csv").text
    assert "a secret of Ben's" in signed_in(closed, LEAD_TOKEN).get("/feedback.csv").text
    assert "a secret of Ben's" not in signed_in(closed, TOKENS["Ada"]).get("/feedback.csv").text
    assert "What humans said" not in signed_in(closed, TOKENS["Ada"]).get("/model").text


def test_a_token_may_come_with_the_request(closed: Office) -> None:
    browser = closed.again(Authorization=f"Bearer {TOKENS['Ada']}")

    assert "Ada’s book" in browser.get("/").text


def test_a_form_needs_the_seal_of_whoever_sends_it(closed: Office) -> None:
    ada, lead = signed_in(closed, TOKENS["Ada"]), signed_in(closed, LEAD_TOKEN)
    hers = of(closed, "Ada")["account_id"]
    form = {**seal_of(ada.get("/account", params={"id": hers}).text), "verdict": "won"}

    for sender, seal in ((lead, form["seal"]), (ada, ""), (ada, form["seal"][:-2] + "xx")):
        answer = sender.post("/account", params={"id": hers}, data={**form, "seal": seal})
        assert answer.status_code == 403
    assert ada.post("/account", params={"id": hers}, data=form).status_code == 303


def test_a_form_from_elsewhere_is_refused(closed: Office) -> None:
    ada = signed_in(closed, TOKENS["Ada"])
    hers = of(closed, "Ada")["account_id"]
    form = {**seal_of(ada.get("/account", params={"id": hers}).text), "verdict": "won"}

    for said in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = ada.post("/account", params={"id": hers}, data=form, headers=said)
        assert (answer.status_code, answer.text) == (403, "This form comes from somewhere else.")


def test_who_signs_out_is_out(closed: Office) -> None:
    ada = signed_in(closed, TOKENS["Ada"])
    cookie = ada.cookies["expansion"]

    ada.post("/sign-out")

    assert ada.get("/").status_code == 303
    forged = closed.again(Cookie=f"expansion={cookie[:-3]}abc")
    assert forged.get("/").status_code == 303


def test_the_session_is_nothing_for_scripts(closed: Office) -> None:
    told = closed.browser.post("/sign-in", data={"token": LEAD_TOKEN}).headers["set-cookie"]

    assert {"HttpOnly", "SameSite=lax"} <= {part.strip() for part in told.split(";")}
    assert LEAD_TOKEN not in told


def test_a_changed_token_ends_its_sessions(closed: Office, tmp_path: Path) -> None:
    cookie = signed_in(closed, TOKENS["Ada"]).cookies["expansion"]
    changed = {"token": LEAD_TOKEN, "tokens": {**TOKENS, "Ada": "another-token-0123456789"}}

    with office(tmp_path / "later", count=5, web=changed) as later:
        assert later.again(Cookie=f"expansion={cookie}").get("/").status_code == 303


def test_tokens_are_not_guessed_at_speed(closed: Office) -> None:
    codes = [closed.browser.post("/sign-in", data={"token": "x"}).status_code for _ in range(14)]

    assert codes[:10] == [401] * 10
    assert codes[10:] == [429] * 4


def test_a_proxy_names_who_is_looking(tmp_path: Path) -> None:
    rules = {
        "auth_header": "X-User",
        "managers": ["lea@x.io"],
        "user_portfolios": {"ada@x.io": "Ada"},
    }
    with office(tmp_path, web=rules) as opened:
        ada = opened.again(**{"X-User": "ada@x.io"})
        stranger = opened.again(**{"X-User": "eve@x.io"})

        assert "Ada’s book" in ada.get("/").text
        assert "Every book" in opened.again(**{"X-User": "lea@x.io"}).get("/").text
        assert "Your book is empty on this list" in stranger.get("/").text
        assert opened.browser.get("/").status_code == 401
        twice = [("X-User", "eve@x.io"), ("X-User", "lea@x.io")]
        assert opened.browser.get("/", headers=twice).status_code == 401


def test_a_header_from_elsewhere_is_not_believed(tmp_path: Path) -> None:
    rules = {"auth_header": "X-User", "managers": ["lea@x.io"], "trusted_proxies": ["10.0.0.1"]}
    with office(tmp_path, count=3, web=rules) as opened:
        assert opened.again(**{"X-User": "lea@x.io"}).get("/").status_code == 401


def test_a_page_of_this_machine_goes_by_its_own_names_only(office: Office) -> None:
    for name in ("evil.example", "127.0.0.1.evil.example", "", "127.0.0.1:80@x"):
        answer = office.browser.get("/", headers={"Host": name})
        assert answer.status_code in {400, 421}
        assert "acc_0" not in answer.text
    assert office.browser.get("/", headers={"Host": "localhost:1"}).status_code == 200


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"host": "0.0.0.0"}, "others can reach"),  # noqa: S104
        ({"host": "expansion.acme.com"}, "others can reach"),
        ({"token": "short"}, "at least 16"),
        ({"token": "x" * 16, "tokens": {"Ada": "x" * 16}}, "the same"),
    ],
)
def test_rules_that_leave_a_door_open_are_refused(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Settings(web=rules)


def test_tokens_are_in_no_word_of_the_settings() -> None:
    told = repr(Web(**SIGNED_IN)) + repr(Settings(web=SIGNED_IN))

    assert not [each for each in (LEAD_TOKEN, *TOKENS.values()) if each in told]

"""Access control: no user sees the portfolio of another."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from data.config.settings import Settings, WebConfig
from serving import store
from serving.store.schema import FEEDBACK
from tests.integration.web.web_client import (
    MANAGER_TOKEN,
    TOKEN_SETTINGS,
    TOKENS,
    WebFixture,
    open_web_fixture,
    read_hidden_fields,
    submit_feedback,
)

PAGES = ("/", "/?csm=Ben", "/?page=2", "/list.csv", "/list.csv?csm=Ben", "/feedback.csv", "/model")
PAGES += ("/runs", "/?q=Ben", "/?sort=name")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[WebFixture]:
    """Yield a server with a manager token and one token per CSM."""
    with open_web_fixture(tmp_path, web=TOKEN_SETTINGS) as opened:
        yield opened


def sign_in(closed: WebFixture, token: str) -> httpx.Client:
    client = closed.new_client()
    response = client.post("/sign-in", data={"token": token, "next": "/model"})
    assert (response.status_code, response.headers["location"]) == (303, "/model")
    return client


def find_account(closed: WebFixture, csm: str) -> str:
    """Return the id of an account of a portfolio."""
    return next(str(row["account_id"]) for row in closed.rows if row["csm"] == csm)


def read_won_form(client: httpx.Client, account_id: str) -> dict[str, str]:
    """Return the fields of an account's feedback form, filled in."""
    page = client.get("/account", params={"id": account_id}).text
    return {**read_hidden_fields(page), "verdict": "won"}


def test_without_a_token_nothing_is_shown(closed: WebFixture) -> None:
    for path in (*PAGES, "/account?id=acc_00000"):
        response = closed.client.get(path)

        assert response.status_code == 303
        assert response.headers["location"].startswith("/sign-in?next=%2F")
        assert "acc_0" not in response.text
    assert closed.client.post("/account?id=acc_00000", data={}).status_code == 401
    assert closed.client.get("/health").text == "ok"


def test_a_wrong_token_is_rejected(closed: WebFixture) -> None:
    for token in ("", "a", TOKENS["Ada"][:-1], TOKENS["Ada"] + "x", "é" * 20):
        response = closed.client.post("/sign-in", data={"token": token})

        assert response.status_code == 401
        assert "set-cookie" not in response.headers


def test_a_csm_sees_one_portfolio_and_a_manager_all(closed: WebFixture) -> None:
    ada, lead = sign_in(closed, TOKENS["Ada"]), sign_in(closed, MANAGER_TOKEN)
    strangers = {row["account_id"] for row in closed.rows if row["csm"] != "Ada"}
    own_id = {row["account_id"] for row in closed.rows if row["csm"] == "Ada"}

    for path in PAGES:
        text = ada.get(path).text
        assert not [each for each in strangers if each in text], path
    one, every = ada.get("/list.csv").text, lead.get("/list.csv").text
    assert not [each for each in own_id if each not in one]
    assert not [each for each in strangers | own_id if each not in every]


def test_an_account_of_another_portfolio_does_not_exist(closed: WebFixture) -> None:
    ada = sign_in(closed, TOKENS["Ada"])
    others = find_account(closed, "Ben")
    form = read_won_form(ada, find_account(closed, "Ada"))

    pages = [ada.get("/account", params={"id": each}).text for each in (others, "nobody at all")]
    response = ada.post("/account", params={"id": others}, data=form)

    assert pages[0] == pages[1]
    assert response.status_code == 404
    with store.read_transaction(closed.engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(FEEDBACK)) == 0


def test_feedback_is_exported_to_its_own_portfolio_only(closed: WebFixture) -> None:
    ben = sign_in(closed, TOKENS["Ben"])
    submit_feedback(ben, find_account(closed, "Ben"), verdict="wrong", reason="a secret of Ben's")

    assert "a secret of Ben's" in ben.get("/feedback.csv").text
    assert "a secret of Ben's" in sign_in(closed, MANAGER_TOKEN).get("/feedback.csv").text
    assert "a secret of Ben's" not in sign_in(closed, TOKENS["Ada"]).get("/feedback.csv").text
    assert "User feedback" not in sign_in(closed, TOKENS["Ada"]).get("/model").text


def test_a_bearer_token_authenticates_a_request(closed: WebFixture) -> None:
    client = closed.new_client(Authorization=f"Bearer {TOKENS['Ada']}")

    assert "Ada’s portfolio" in client.get("/").text


def test_a_form_needs_the_csrf_token_of_its_user(closed: WebFixture) -> None:
    ada, lead = sign_in(closed, TOKENS["Ada"]), sign_in(closed, MANAGER_TOKEN)
    own_id = find_account(closed, "Ada")
    form = read_won_form(ada, own_id)

    for sender, token in (
        (lead, form["csrf_token"]),
        (ada, ""),
        (ada, form["csrf_token"][:-2] + "xx"),
    ):
        forged = {**form, "csrf_token": token}
        assert sender.post("/account", params={"id": own_id}, data=forged).status_code == 403
    assert ada.post("/account", params={"id": own_id}, data=form).status_code == 303


def test_a_cross_origin_form_is_rejected(closed: WebFixture) -> None:
    ada = sign_in(closed, TOKENS["Ada"])
    own_id = find_account(closed, "Ada")
    form = read_won_form(ada, own_id)

    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        response = ada.post("/account", params={"id": own_id}, data=form, headers=headers)
        assert (response.status_code, response.text) == (
            403,
            "Cross-origin form submission rejected.",
        )


def test_signing_out_ends_the_session(closed: WebFixture) -> None:
    ada = sign_in(closed, TOKENS["Ada"])
    cookie = ada.cookies["expansion"]

    ada.post("/sign-out")

    assert ada.get("/").status_code == 303
    forged = closed.new_client(Cookie=f"expansion={cookie[:-3]}abc")
    assert forged.get("/").status_code == 303


def test_the_session_cookie_is_http_only(closed: WebFixture) -> None:
    cookie = closed.client.post("/sign-in", data={"token": MANAGER_TOKEN}).headers["set-cookie"]

    assert {"HttpOnly", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    assert MANAGER_TOKEN not in cookie


def test_a_changed_token_ends_its_sessions(closed: WebFixture, tmp_path: Path) -> None:
    cookie = sign_in(closed, TOKENS["Ada"]).cookies["expansion"]
    changed = {"token": MANAGER_TOKEN, "tokens": {**TOKENS, "Ada": "another-token-0123456789"}}

    with open_web_fixture(tmp_path / "later", count=5, web=changed) as later:
        assert later.new_client(Cookie=f"expansion={cookie}").get("/").status_code == 303


def test_sign_in_attempts_are_rate_limited(closed: WebFixture) -> None:
    codes = [closed.client.post("/sign-in", data={"token": "x"}).status_code for _ in range(14)]

    assert codes[:10] == [401] * 10
    assert codes[10:] == [429] * 4


def test_a_trusted_proxy_names_the_user(tmp_path: Path) -> None:
    rules = {
        "auth_header": "X-User",
        "managers": ["lea@x.io"],
        "user_portfolios": {"ada@x.io": "Ada"},
    }
    with open_web_fixture(tmp_path, web=rules) as opened:
        ada = opened.new_client(**{"X-User": "ada@x.io"})
        stranger = opened.new_client(**{"X-User": "eve@x.io"})

        assert "Ada’s portfolio" in ada.get("/").text
        assert "All portfolios" in opened.new_client(**{"X-User": "lea@x.io"}).get("/").text
        assert "Your portfolio has no accounts on this list" in stranger.get("/").text
        assert opened.client.get("/").status_code == 401
        twice = [("X-User", "eve@x.io"), ("X-User", "lea@x.io")]
        assert opened.client.get("/", headers=twice).status_code == 401


def test_a_header_from_an_untrusted_address_is_ignored(tmp_path: Path) -> None:
    rules = {"auth_header": "X-User", "managers": ["lea@x.io"], "trusted_proxies": ["10.0.0.1"]}
    with open_web_fixture(tmp_path, count=3, web=rules) as opened:
        assert opened.new_client(**{"X-User": "lea@x.io"}).get("/").status_code == 401


def test_a_loopback_server_accepts_its_own_host_names_only(site: WebFixture) -> None:
    for name in ("evil.example", "127.0.0.1.evil.example", "", "127.0.0.1:80@x"):
        response = site.client.get("/", headers={"Host": name})
        assert response.status_code in {400, 421}
        assert "acc_0" not in response.text
    assert site.client.get("/", headers={"Host": "localhost:1"}).status_code == 200


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"host": "0.0.0.0"}, "others can reach"),  # noqa: S104
        ({"host": "expansion.acme.com"}, "others can reach"),
        ({"token": "short"}, "at least 16"),
        ({"token": "x" * 16, "tokens": {"Ada": "x" * 16}}, "the same"),
    ],
)
def test_insecure_settings_are_rejected(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Settings(web=rules)


def test_tokens_are_not_in_the_repr_of_the_settings() -> None:
    text = repr(WebConfig(**TOKEN_SETTINGS)) + repr(Settings(web=TOKEN_SETTINGS))

    assert not [each for each in (MANAGER_TOKEN, *TOKENS.values()) if each in text]

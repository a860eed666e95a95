"""Forged forms (CSRF) and token guessing."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import sqlalchemy as sa

from serving import store
from serving.store.schema import FEEDBACK
from tests.security import raw_http
from tests.security.attack import Attack

CONNECTIONS = 8


def forge_forms(attack: Attack) -> None:
    """Submit forms without the user's own CSRF token; none may be stored."""
    connection, before = attack.connect(), count_feedback(attack)
    ada, ben = attack.target.list_portfolio("Ada")[40], attack.target.list_portfolio("Ben")[1]
    hers = attack.load_form(connection, ada, "Ada")
    his = attack.load_form(connection, ben, "Ben")
    csrf_token = hers["csrf_token"]
    for _ in range(attack.scale_count(20)):
        for wrong in (
            "",
            "x",
            csrf_token[:-1],
            csrf_token + "x",
            csrf_token.swapcase(),
            his["csrf_token"],
            "." * 900,
        ):
            expect_rejection(attack, connection, ada, "Ada", {**hers, "csrf_token": wrong}, {403})
        expect_rejection(attack, connection, ada, "Ada", {"verdict": "won"}, {403})
        expect_rejection(attack, connection, ben, "Ada", hers, {404})
        expect_rejection(attack, connection, ada, "Ben", his, {404})
        expect_rejection(attack, connection, ada, "", hers, {401})
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1.evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            expect_rejection(attack, connection, ada, "Ada", hers, {403}, **headers)
    attack.check(
        "feedback was stored",
        holds=count_feedback(attack) == before,
        observed=count_feedback(attack) - before,
    )
    connection.close()


def expect_rejection(  # noqa: PLR0917
    attack: Attack,
    connection: raw_http.RawConnection,
    account: str,
    user: str,
    form: dict[str, str],
    expected: set[int],
    **headers: str,
) -> None:
    named_headers = {name.replace("_", "-"): value for name, value in headers.items()}
    body = urlencode({"verdict": "won", **form}).encode()
    path = f"/account?id={account}"
    response = attack.request_page(connection, "POST", path, user, body=body, headers=named_headers)
    attack.check(
        "not rejected",
        holds=response.status in expected,
        observed=(user, form, named_headers, response),
    )


def guess_tokens(attack: Attack) -> None:
    """Guess tokens over many connections; the owner can still sign in from another address."""
    end, slowest = time.monotonic() + max(8 * attack.scale, 2), [0.0]
    stop = threading.Event()

    def honest() -> None:
        connection = attack.connect(source="127.0.0.2")
        body = urlencode({"token": attack.target.tokens["Ada"], "next": "/model"}).encode()
        for _ in range(5):
            response = attack.request_page(connection, "POST", "/sign-in", body=body)
            attack.expect_status("the owner was locked out", response, 303)
            slowest[0] = max(slowest[0], response.seconds)
            stop.wait(0.3)
        connection.close()

    def guess(number: int) -> int:
        connection, tried = attack.connect(), 0
        while time.monotonic() < end:
            token = f"{number}-{tried}-" + attack.target.tokens["lead"][: tried % 32]
            tried += 1
            if tried % 2:
                body = urlencode({"token": token}).encode()
                response = attack.request_page(connection, "POST", "/sign-in", body=body)
            else:
                response = connection.send_request(
                    "GET", "/list.csv", raw_http.bearer_header(token)
                )
                attack.record(response, request="a guess")
            attack.expect_status("authenticated", response, 401, 429, 303)
            location = response.headers.get("location", "/sign-in")
            attack.check("authenticated", holds=location.startswith("/sign-in"), observed=location)
        connection.close()
        return tried

    with ThreadPoolExecutor(CONNECTIONS + 1) as pool:
        owner = pool.submit(honest)
        tried = sum(pool.map(guess, range(CONNECTIONS)))
        owner.result()
    attack.category.figures |= {"guesses": tried, "owner_slowest_ms": round(slowest[0] * 1000)}
    sign_ins = attack.category.statuses[401]
    attack.check("guesses were not rate limited", holds=sign_ins <= 30, observed=sign_ins)


def count_feedback(attack: Attack) -> int:
    with store.read_transaction(attack.target.engine) as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(FEEDBACK)) or 0

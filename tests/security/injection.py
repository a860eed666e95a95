"""SQL, HTML and Unicode injection into every text input."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import sqlalchemy as sa

from serving import store
from serving.store.schema import LIST_INDEX, METADATA, SCORES
from tests.parsed_page import ParsedPage
from tests.security.attack import WEBHOOK_PATHS, Attack, account_path
from tests.security.raw_http import RawConnection, RawResponse
from tests.security.target import HOSTILE_NAMES

HOSTILE_TEXTS = (
    *HOSTILE_NAMES,
    *("' OR '1'='1", "' OR 1=1 --", '" OR ""="', "1; SELECT pg_sleep(9)", "'||pg_sleep(9)||'"),
    *("' UNION SELECT * FROM scores --", "%' ESCAPE '", "%", "_", "\\", "\\'", "%%%", "')) --"),
    *("\0", "a\0b", "\u2028", "\u202e\u2066", "\ufeff", "\U0010ffff", "e\u0301" * 50, "9" * 400),
    *("NaN", "Infinity", "-0", "1e400", "0x10", "٣", "${7*7}", "#{7*7}", "<%= 7*7 %>", "\r\nX: y"),
    *("x" * 199, "x" * 201, "acc_00000", "../", "$(id)", "`id`", "|id", "true", "null", "[]"),
)
_PARAMETERS = ("csm", "tier", "limit", "segment", "when", "q", "sort", "page")
_FORM_FIELDS = ("verdict", "reason", "snoozed_until", "form_id", "csrf_token")


def find_injections(html: str) -> list[str]:
    """Return markup that a browser would execute, or that links to other hosts."""
    return [
        f"<{tag} {attributes}>"
        for tag, attributes in ParsedPage(html).elements
        if is_executable(tag, attributes) or links_outside(attributes)
    ]


def is_executable(tag: str, attributes: dict[str, str | None]) -> bool:
    is_own_script = str(attributes.get("src", "")).startswith("/static/")
    return (
        tag in {"iframe", "object", "embed"}
        or (tag == "script" and not is_own_script)
        or any(name.startswith("on") for name in attributes)
    )


def links_outside(attributes: dict[str, str | None]) -> bool:
    names = ("src", "href", "action")
    link = next((str(attributes[name]) for name in names if attributes.get(name)), "/")
    return not link.startswith(("/", "?", "#")) or link.startswith("//")


def run(attack: Attack) -> None:
    """Send every text to every input; nothing may be executed."""
    before, connection = count_rows(attack), attack.connect()
    texts = (
        HOSTILE_TEXTS if attack.scale == 1 else HOSTILE_TEXTS[:: max(int(1 / attack.scale) // 3, 1)]
    )
    for user in ("Ada", "lead"):
        for text in texts:
            inject_parameters(attack, connection, user, text)
    for text in texts:
        inject_form_fields(attack, connection, text)
        inject_event_fields(attack, connection, text)
    for account in attack.target.hostile:
        request_page(attack, connection, "GET", account_path(account), "Ada")
    connection.close()
    attack.check("tables changed", holds=count_rows(attack) == before, observed=count_rows(attack))


def inject_parameters(attack: Attack, connection: RawConnection, user: str, text: str) -> None:
    quoted = quote(text, safe="")
    for name in _PARAMETERS:
        path = ("/", "/list.csv")[name == "q" and user == "Ada"]
        request_page(attack, connection, "GET", f"{path}?{name}={quoted}", user)
    for path in ("/account?id=", "/sign-in?next="):
        request_page(attack, connection, "GET", f"{path}{quoted}", user)


def inject_form_fields(attack: Attack, connection: RawConnection, text: str) -> None:
    """Inject into each field of an otherwise valid form."""
    account = attack.target.hostile[0]
    form = attack.load_form(connection, account, "Ada")
    for name in _FORM_FIELDS:
        body = urlencode({**form, "verdict": "wrong", "reason": "x", name: text}).encode()
        request_page(attack, connection, "POST", account_path(account), "Ada", body=body)
        form = form | {"form_id": attack.new_id("once-at-least")}
    body = urlencode({"token": text, "next": text}).encode()
    response = request_page(attack, connection, "POST", "/sign-in", body=body)
    attack.check(
        "authenticated", holds=response.status in {401, 429, 413, 422}, observed=(text, response)
    )


def inject_event_fields(attack: Attack, connection: RawConnection, text: str) -> None:
    """Inject into every field of an event and its nested objects."""
    for source in WEBHOOK_PATHS:
        for name in [*attack.build_event(source), "anything"]:
            event = attack.build_event(source)
            if name not in {"context", "properties"}:
                event[name] = text
            else:
                event[name] = {"groupId": text, "feature": text, text: text, "quantity": text}
            response = attack.post_webhook(connection, source, json.dumps(event).encode())
            attack.check("too slow", holds=response.seconds < 5, observed=(text, response.seconds))


def request_page(attack: Attack, *request: Any, body: bytes = b"") -> RawResponse:
    """Request a page; it must come at once, without foreign links or executable markup."""
    response = attack.request_page(*request, body=body)
    attack.check("slow: SQL executed?", holds=response.seconds < 5, observed=response.seconds)
    location = response.headers.get("location", "/")
    inside = location.startswith("/") and not location.startswith(("//", "/\\"))
    attack.check("open redirect", holds=inside, observed=location)
    if response.headers.get("content-type", "").startswith("text/html"):
        injected = find_injections(response.text)
        attack.check("injected markup", holds=not injected, observed=injected[:2])
    return response


def count_rows(attack: Attack) -> dict[str, int]:
    """Return the row counts of the list tables and the number of missing tables."""
    with store.read_transaction(attack.target.engine) as connection:
        counts = {
            each.name: connection.scalar(sa.select(sa.func.count()).select_from(each)) or 0
            for each in (SCORES, LIST_INDEX)
        }
        tables = set(sa.inspect(connection).get_table_names())
    return counts | {"missing": len(set(METADATA.tables) - tables)}

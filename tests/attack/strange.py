"""SQL, HTML and signs nobody types, wherever a text is taken."""

import json
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

import sqlalchemy as sa
from attack import HOOKS, Attack
from ledger import Kind
from target import EVIL
from wire import Answer, Line

from serving import store
from serving.store.schema import LIST_INDEX, METADATA, SCORES

TEXTS = (
    *EVIL,
    *("' OR '1'='1", "' OR 1=1 --", '" OR ""="', "1; SELECT pg_sleep(9)", "'||pg_sleep(9)||'"),
    *("' UNION SELECT * FROM scores --", "%' ESCAPE '", "%", "_", "\\", "\\'", "%%%", "')) --"),
    *("\0", "a\0b", "\u2028", "\u202e\u2066", "\ufeff", "\U0010ffff", "e\u0301" * 50, "9" * 400),
    *("NaN", "Infinity", "-0", "1e400", "0x10", "٣", "${7*7}", "#{7*7}", "<%= 7*7 %>", "\r\nX: y"),
    *("x" * 199, "x" * 201, "acc_00000", "../", "$(id)", "`id`", "|id", "true", "null", "[]"),
)
_ASKED = ("csm", "tier", "limit", "segment", "when", "q", "sort", "page")
_SAID = ("verdict", "why", "until", "once", "seal")


class Markup(HTMLParser):
    """Finds what a browser would run, or ask of elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        source = str(told.get("src") or told.get("href") or told.get("action") or "/")
        runs = any(name.startswith("on") for name in told) or tag in {"iframe", "object", "embed"}
        runs |= tag == "script" and not str(told.get("src", "")).startswith("/static/")
        if runs or not source.startswith(("/", "?", "#")) or source.startswith("//"):
            self.found.append(f"<{tag} {told}>")


def run(at: Attack, kind: Kind) -> None:
    """Every text into every place; nothing is run by the database or would be by a browser."""
    before, line = _held(at), at.line()
    texts = TEXTS if at.share == 1 else TEXTS[:: max(int(1 / at.share) // 3, 1)]
    for viewer in ("Ada", "lead"):
        for text in texts:
            _asked(at, kind, line, viewer, text)
    for text in texts:
        _said(at, kind, line, text)
        _sent(at, kind, line, text)
    for account in at.target.strange:
        _looked(kind, at.ask(kind, line, "GET", f"/account?id={quote(account, safe='')}", "Ada"))
    line.close()
    kind.law("tables are not what they were", holds=_held(at) == before, found=_held(at))


def _asked(at: Attack, kind: Kind, line: Line, viewer: str, text: str) -> None:
    told = quote(text, safe="")
    for name in _ASKED:
        path = ("/", "/list.csv")[name == "q" and viewer == "Ada"]
        _looked(kind, at.ask(kind, line, "GET", f"{path}?{name}={told}", viewer))
    for path in ("/account?id=", "/sign-in?to="):
        _looked(kind, at.ask(kind, line, "GET", f"{path}{told}", viewer))


def _said(at: Attack, kind: Kind, line: Line, text: str) -> None:
    """In a form that is sealed as it should be, but for the seal itself."""
    account = at.target.strange[0]
    form = at.form(kind, line, account, "Ada")
    for name in _SAID:
        body = urlencode({**form, "verdict": "wrong", "why": "x", name: text}).encode()
        path = f"/account?id={quote(account, safe='')}"
        _looked(kind, at.ask(kind, line, "POST", path, "Ada", body=body))
        form = form | {"once": at.new_id("once-at-least")}
    body = urlencode({"token": text, "to": text}).encode()
    answer = at.ask(kind, line, "POST", "/sign-in", body=body)
    _looked(kind, answer)
    kind.law("signed in", holds=answer.status in {401, 429, 413, 422}, found=(text, answer))


def _sent(at: Attack, kind: Kind, line: Line, text: str) -> None:
    """In every field of an event, and of the things around it."""
    for source in HOOKS:
        for name in [*at.event(source), "anything"]:
            event = at.event(source)
            if name not in {"context", "properties"}:
                event[name] = text
            else:
                event[name] = {"groupId": text, "feature": text, text: text, "quantity": text}
            answer = at.post(kind, line, source, json.dumps(event).encode())
            kind.law("too slow", holds=answer.seconds < 5, found=(text, answer.seconds))


def _looked(kind: Kind, answer: Answer) -> None:
    kind.law("too slow: was it run?", holds=answer.seconds < 5, found=answer.seconds)
    location = answer.headers.get("location", "/")
    inside = location.startswith("/") and not location.startswith(("//", "/\\"))
    kind.law("leads elsewhere", holds=inside, found=location)
    if answer.headers.get("content-type", "").startswith("text/html"):
        seen = Markup()
        seen.feed(answer.text)
        kind.law("would be run", holds=not seen.found, found=seen.found[:2])


def _held(at: Attack) -> dict[str, int]:
    """Rows of the list, and the names of the tables."""
    with store.read_transaction(at.target.engine) as connection:
        held = {
            each.name: connection.scalar(sa.select(sa.func.count()).select_from(each)) or 0
            for each in (SCORES, LIST_INDEX)
        }
        there = set(sa.inspect(connection).get_table_names())
    return held | {"missing": len(set(METADATA.tables) - there)}

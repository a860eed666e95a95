"""Bodies of webhooks that are broken, huge, or deep; all of them signed by who has the secret."""

import copy
import gzip
import json
import random
from typing import Any

from attack import HOOKS, Attack
from ledger import Kind
from wire import Line, request

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 10**400, -(10**400), 1e308, float("nan"), float("inf"), 2**63),
    *("", " ", "\0", "\ud800", "\u202e", "a" * 500, "a" * 5_000, "'; DROP TABLE arrivals; --"),
    *("<script>alert(1)</script>", "%s%n{}", "../../x", "acc_00001\r\nX: y", "\U0010ffff"),
    *([], {}, [[]], [None], {"a": {"b": {}}}, ["a", "b"], {"$ne": 1}, {"__proto__": {}}),
    *("0000-00-00", "9999-12-31T23:59:59-12:00", "2026-02-30T00:00:00Z", "1e999", "now()"),
)
LARGEST = 512 * 1024


def run(at: Attack, kind: Kind) -> None:
    """Mutate messages of both sources, then send what is large, deep, or oddly framed."""
    line = at.line()
    for source in HOOKS:
        for _ in range(at.times(1_000)):
            _mutated(at, kind, line, source)
        _large(at, kind, line, source)
        _framed(at, kind, source)
    line.close()


def _mutated(at: Attack, kind: Kind, line: Line, source: str) -> None:
    """One to three things wrong with a message, alone or beside a good one."""
    good, bad = at.event(source), _spoiled(at.event(source), at.draw)
    together = at.draw.random() < 0.3
    body = json.dumps([good, bad] if together else bad).encode()
    honest = [good["messageId" if source == "segment" else "message_id"]] if together else []
    if not together and at.draw.random() < 0.3:
        body = _torn(body, at.draw)
    at.post(kind, line, source, body, honest=honest)


def _spoiled(message: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    told = copy.deepcopy(message)
    for _ in range(draw.randrange(1, 4)):
        inner = [each for each in told.values() if isinstance(each, dict) and each]
        where = draw.choice([told, *inner])
        name = draw.choice(list(where) or ["x"])
        match draw.randrange(4):
            case 0:
                where.pop(name, None)
            case 1:
                where[draw.choice(["x", "", "a.b", "__class__", "\0"])] = draw.choice(NASTY)
            case _:
                where[name] = draw.choice(NASTY)
        if not told:
            break
    return told


def _torn(body: bytes, draw: random.Random) -> bytes:
    """Bytes changed, lost or added."""
    torn = bytearray(body)
    for _ in range(draw.randrange(1, 6)):
        place = draw.randrange(len(torn) or 1)
        match draw.randrange(3):
            case 0:
                torn[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del torn[place : place + draw.randrange(1, 20)]
            case _:
                torn[place:place] = draw.randbytes(draw.randrange(1, 8))
    return bytes(torn)


def _large(at: Attack, kind: Kind, line: Line, source: str) -> None:
    event = json.dumps(at.event(source)).encode()
    name = json.loads(event).get("messageId") or json.loads(event)["message_id"]
    for body, status in (
        (b"[" * 200_000, 400),
        (b'{"a":' * 80_000, 400),
        (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, 400),
        (b"[" + b"{}," * 9_999 + b"{}]", 400),
        (b"[" + b"{}," * 10_000 + b"{}]", 400),
        (b'{"timestamp":' + b"1" * 400_000 + b"}", 400),
        (b"\x00" * 1_000, 400),
        (b"\xef\xbb\xbf" + b"{}", 400),
        (b"\xff\xfe{\x00}\x00", 400),
        (b"", 400),
        (event + b" " * (LARGEST - len(event)), 200),
        (event + b" " * (LARGEST - len(event) + 1), 413),
        (b" " * 4_000_000, 413),
    ):
        honest = [name] if status == 200 else []
        answer = at.post(kind, line, source, body, honest=honest)
        right = answer.status == status or (status == 413 and answer.status == 0)
        kind.law("another answer than was due", holds=right, found=(status, answer, body[:20]))
    many = [at.event(source, user_id=f"u{number}") for number in range(1_500)]
    ids = [each.get("messageId") or each["message_id"] for each in many]
    at.post(kind, line, source, json.dumps(many).encode(), honest=ids)


def _framed(at: Attack, kind: Kind, source: str) -> None:
    """Lengths that are missing, wrong or told twice; compressed; as parts."""
    event = at.event(source)
    body = json.dumps(event).encode()
    name = event.get("messageId") or event["message_id"]
    signed = at.signed(source, body)
    parts = b"".join(b"%x\r\n%s\r\n" % (len(body[at_ : at_ + 7]), body[at_ : at_ + 7])
                     for at_ in range(0, len(body), 7))  # fmt: skip
    chunked = {"Transfer-Encoding": "chunked"}
    huge = b"%x\r\n%s\r\n" % (64_000, b" " * 64_000)
    tries: tuple[tuple[dict[str, str], bytes, set[int]], ...] = (
        (chunked, parts + b"0\r\n\r\n", {200}),
        (chunked, parts + b"0\r\nX-Trailer: 1\r\n\r\n", {200}),
        (chunked, huge * 9 + b"0\r\n\r\n", {413, 0}),
        (chunked, b"zz\r\nabc\r\n0\r\n\r\n", {400}),
        (chunked, b"ffffffffffffffffffff\r\nabc", {400}),
        (chunked, b"-1\r\n\r\n0\r\n\r\n", {400}),
        ({**chunked, "Content-Length": "5"}, parts + b"0\r\n\r\n", {400}),
        ({"Transfer-Encoding": "gzip, chunked"}, parts + b"0\r\n\r\n", {200, 400, 415}),
        ({"Content-Length": str(len(body) - 5)}, body, {400, 401}),
        ({"Content-Length": "-1"}, body, {400}),
        ({"Content-Length": "0x10"}, body, {400}),
        ({"Content-Length": "9" * 30}, body, {400, 413}),
        ({"Content-Length": f"{len(body)}, {len(body)}"}, body, {400}),
        ({"Content-Encoding": "gzip"}, gzip.compress(body), {415}),
        ({"Content-Encoding": "GZIP"}, gzip.compress(b" " * 10**7), {415}),
        ({"Content-Encoding": "deflate, gzip"}, b"x", {415}),
        ({}, gzip.compress(body), {400, 401}),
        ({"Expect": "100-continue"}, body, {200, 100}),
    )
    for more, sent, right in tries:
        line = at.line(patience=10)
        answer = line.raw(request("POST", HOOKS[source], {**signed, **more}, sent), "POST")
        line.close()
        at.ledger.note(kind, answer)
        kind.law("another answer than was due", holds=answer.status in right, found=(more, answer))
        if answer.status == 200:
            at.ledger.keep(source, [name])

"""Malformed, huge and deeply nested webhook bodies, all with valid signatures."""

import copy
import gzip
import json
import random
from typing import Any

from tests.security.attack import WEBHOOK_PATHS, Attack, get_message_id
from tests.security.raw_http import RawConnection, build_request

HOSTILE_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 10**400, -(10**400), 1e308, float("nan"), float("inf"), 2**63),
    *("", " ", "\0", "\ud800", "\u202e", "a" * 500, "a" * 5_000, "'; DROP TABLE arrivals; --"),
    *("<script>alert(1)</script>", "%s%n{}", "../../x", "acc_00001\r\nX: y", "\U0010ffff"),
    *([], {}, [[]], [None], {"a": {"b": {}}}, ["a", "b"], {"$ne": 1}, {"__proto__": {}}),
    *("0000-00-00", "9999-12-31T23:59:59-12:00", "2026-02-30T00:00:00Z", "1e999", "now()"),
)
MAX_BODY_BYTES = 512 * 1024


def run(attack: Attack) -> None:
    """Mutate messages of both sources, then send large, deep and misframed bodies."""
    connection = attack.connect()
    for source in WEBHOOK_PATHS:
        for _ in range(attack.scale_count(1_000)):
            post_mutated(attack, connection, source)
        post_large(attack, connection, source)
        post_misframed(attack, source)
    connection.close()


def post_mutated(attack: Attack, connection: RawConnection, source: str) -> None:
    """Post a message with one to three mutations, alone or with a valid one."""
    good, bad = attack.build_event(source), mutate_message(attack.build_event(source), attack.draw)
    as_batch = attack.draw.random() < 0.3
    body = json.dumps([good, bad] if as_batch else bad).encode()
    valid_ids = [get_message_id(good)] if as_batch else []
    if not as_batch and attack.draw.random() < 0.3:
        body = mutate_bytes(body, attack.draw)
    attack.post_webhook(connection, source, body, valid_ids=valid_ids)


def mutate_message(message: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    mutated = copy.deepcopy(message)
    for _ in range(draw.randrange(1, 4)):
        inner = [each for each in mutated.values() if isinstance(each, dict) and each]
        where = draw.choice([mutated, *inner])
        name = draw.choice(list(where) or ["x"])
        match draw.randrange(4):
            case 0:
                where.pop(name, None)
            case 1:
                where[draw.choice(["x", "", "a.b", "__class__", "\0"])] = draw.choice(
                    HOSTILE_VALUES
                )
            case _:
                where[name] = draw.choice(HOSTILE_VALUES)
        if not mutated:
            break
    return mutated


def mutate_bytes(body: bytes, draw: random.Random) -> bytes:
    """Change, delete or insert bytes."""
    mutated = bytearray(body)
    for _ in range(draw.randrange(1, 6)):
        index = draw.randrange(len(mutated) or 1)
        match draw.randrange(3):
            case 0:
                mutated[index : index + 1] = bytes([draw.randrange(256)])
            case 1:
                del mutated[index : index + draw.randrange(1, 20)]
            case _:
                mutated[index:index] = draw.randbytes(draw.randrange(1, 8))
    return bytes(mutated)


def post_large(attack: Attack, connection: RawConnection, source: str) -> None:
    message = attack.build_event(source)
    event = json.dumps(message).encode()
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
        (event + b" " * (MAX_BODY_BYTES - len(event)), 200),
        (event + b" " * (MAX_BODY_BYTES - len(event) + 1), 413),
        (b" " * 4_000_000, 413),
    ):
        valid_ids = [get_message_id(message)] if status == 200 else []
        response = attack.post_webhook(connection, source, body, valid_ids=valid_ids)
        is_expected = response.status == status or (status == 413 and response.status == 0)
        attack.check("unexpected status", holds=is_expected, observed=(status, response, body[:20]))
    many = [attack.build_event(source, user_id=f"u{number}") for number in range(1_500)]
    ids = [get_message_id(each) for each in many]
    attack.post_webhook(connection, source, json.dumps(many).encode(), valid_ids=ids)


def post_misframed(attack: Attack, source: str) -> None:
    """Post bodies with missing, wrong or repeated lengths, compressed or chunked."""
    event = attack.build_event(source)
    body = json.dumps(event).encode()
    signed = attack.sign(source, body)
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
    for headers, payload, expected in tries:
        connection = attack.connect(timeout=10)
        response = connection.send_raw(
            build_request("POST", WEBHOOK_PATHS[source], {**signed, **headers}, payload), "POST"
        )
        connection.close()
        attack.record(response)
        attack.check(
            "unexpected status", holds=response.status in expected, observed=(headers, response)
        )
        if response.status == 200:
            attack.ledger.record_accepted(source, [get_message_id(event)])

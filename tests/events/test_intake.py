"""What a source sends is kept once, before it hears so; what makes no sense is kept apart."""

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from event_door import SECRET, Door, running, served
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import Webhooks
from serving import store
from serving.events.ingest import parsers
from serving.events.ingest.parsers import InvalidMessageError
from serving.events.ingest.signatures import InvalidSignatureError, verify_generic

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
OWN: dict[str, Any] = {
    "message_id": "m-1",
    "account_id": "acme",
    "user_id": "u-1",
    "event": "view",
    "feature": "reports",
    "quantity": 2,
    "timestamp": "2026-06-01T09:30:00Z",
}
# As Segment's documentation shows a call of track, with what its libraries add.
TRACK: dict[str, Any] = {
    "version": 1,
    "type": "track",
    "messageId": "ajs-9f1c2b",
    "anonymousId": "a0",
    "userId": "ada@acme.com",
    "event": "Report Viewed",
    "properties": {"feature": "reports", "quantity": 3, "plan": "team"},
    "context": {"groupId": "acme", "ip": "10.0.0.1", "library": {"name": "analytics.js"}},
    "integrations": {},
    "originalTimestamp": "2026-06-01T09:30:01.000Z",
    "sentAt": "2026-06-01T09:30:02.000Z",
    "receivedAt": "2026-06-01T09:30:03.000Z",
    "timestamp": "2026-06-01T11:30:00.500+02:00",
}
AMPLITUDE: dict[str, Any] = {
    "insert_id": "i-1",
    "user_id": "u-1",
    "event_type": "view",
    "event_time": "2026-06-01 09:30:00.000000",
    "event_properties": {"feature": "reports"},
    "groups": {"company": ["acme"]},
}
MIXPANEL: dict[str, Any] = {
    "event": "view",
    "properties": {"time": 1780306200, "distinct_id": "u-1", "$insert_id": "i-1", "company_id": 42},
}


def utc(moment: datetime) -> datetime:
    """A time of the database's, which SQLite gives without its zone."""
    return moment.replace(tzinfo=UTC)


def test_an_event_is_kept_as_the_log_would_have_it(door: Door) -> None:
    assert door.send(OWN).json() == {"accepted": 1, "ignored": 0, "refused": 0}

    (kept,) = door.arrivals()
    told = {name: kept[name] for name in ("workspace", "user_id", "event", "feature", "quantity")}
    assert told == {
        "workspace": "acme",
        "user_id": "u-1",
        "event": "view",
        "feature": "reports",
        "quantity": 2.0,
    }
    assert utc(kept["happened_at"]) == datetime(2026, 6, 1, 9, 30, tzinfo=UTC)


def test_segment_s_messages_are_kept_without_anybody_s_address(door: Door) -> None:
    group = {**TRACK, "type": "group", "messageId": "g"}

    answer = door.send([TRACK, group], "segment")

    assert answer.json() == {"accepted": 1, "ignored": 1, "refused": 0}
    (kept,) = door.arrivals()
    assert kept["message_id"] == "ajs-9f1c2b"
    assert kept["workspace"] == "acme"
    assert kept["user_id"].startswith("user-")
    assert "ada" not in str(kept)
    assert utc(kept["happened_at"]) == datetime(2026, 6, 1, 9, 30, 0, 500_000, UTC)


@pytest.mark.parametrize(
    ("payload_format", "message", "workspace"),
    [("amplitude", AMPLITUDE, "acme"), ("mixpanel", MIXPANEL, "42")],
)
def test_other_sources_map_onto_the_generic_one(
    shape: str, message: dict[str, Any], workspace: str
) -> None:
    read = parsers.parse_generic(message, NOW, Webhooks.model_validate({"payload_format": shape}))

    assert (read.message_id, read.workspace, read.user_id) == ("i-1", workspace, "u-1")
    assert (read.event, read.happened_at) == ("view", datetime(2026, 6, 1, 9, 30, tzinfo=UTC))


def test_a_field_may_stand_elsewhere() -> None:
    rules = Webhooks.model_validate({"fields": {"account": "tenant.id", "timestamp": "at_ms"}})
    message = {"tenant": {"id": 7}, "at_ms": 1780306200000, "event": "view"}

    read = parsers.parse_generic(message, NOW, rules)

    assert (read.workspace, read.happened_at.hour) == ("7", 9)
    assert (
        read.message_id
        == parsers.parse_generic(dict(reversed(message.items())), NOW, rules).message_id
    )


def test_a_message_counts_once_however_often_it_comes(door: Door) -> None:
    for _ in range(3):
        assert door.send([OWN, OWN, {**OWN, "message_id": "m-2"}]).status_code == 200

    assert [row["message_id"] for row in door.arrivals()] == ["m-1", "m-2"]


def test_requests_at_one_time_share_commits_and_lose_nothing(door: Door) -> None:
    with ThreadPoolExecutor(16) as pool:
        sent = [{**OWN, "message_id": f"m-{n % 150}"} for n in range(300)]
        statuses = {answer.status_code for answer in pool.map(door.send, sent)}

    assert statuses == {200}
    assert {row["message_id"] for row in door.arrivals()} == {f"m-{n}" for n in range(150)}
    assert len(door.arrivals()) == 150


def test_a_bad_message_is_kept_apart_and_a_good_one_beside_it_is_taken(door: Door) -> None:
    bad = {
        **OWN,
        "message_id": "m-2",
        "timestamp": "2026-06-01 09:30",
        "user_id": "mallory@acme.com",
    }

    assert door.send([OWN, bad]).json() == {"accepted": 1, "ignored": 0, "refused": 1}

    assert len(door.arrivals()) == 1
    (refused,) = door.quarantine()
    assert refused["reason"] == "timestamp has no time zone"
    assert "acme.com" in refused["body"]
    assert "mallory" not in refused["body"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "expected a message"),
        (b"3", "expected a message"),
        (b"[3]", "expected a JSON object"),
        (b"{}", "timestamp is missing"),
        (json.dumps({**OWN, "quantity": -1}).encode(), "expected a number from 0"),
        (b'{"quantity": NaN, "timestamp": 1}', "expected a number from 0"),
        (json.dumps({**OWN, "quantity": 10**400}).encode(), "expected a number from 0"),
        (json.dumps({**OWN, "timestamp": 10**400}).encode(), "not a time"),
        (json.dumps({**OWN, "timestamp": -(10**400)}).encode(), "not a time"),
        (b'{"timestamp": Infinity}', "not a time"),
        (json.dumps({**OWN, "timestamp": True}).encode(), "expected ISO 8601"),
        (json.dumps({**OWN, "timestamp": 1e300}).encode(), "not a time"),
        (json.dumps({**OWN, "timestamp": "9999-12-31T23:59:59-12:00"}).encode(), "not a time"),
        (json.dumps({**OWN, "timestamp": "2999-01-01T00:00:00Z"}).encode(), "in the future"),
        (json.dumps({**OWN, "timestamp": "1970-01-01T00:00:00Z"}).encode(), "too old"),
        (json.dumps({**OWN, "user_id": "a\0b"}).encode(), "no database stores"),
        (json.dumps({**OWN, "event": "\ud800"}).encode(), "no database stores"),
        (json.dumps({**OWN, "account_id": ["a", "b"]}).encode(), "expected text"),
        (json.dumps({**OWN, "event": "x" * 500}).encode(), "longer than"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(door: Door, body: bytes, reason: str) -> None:
    answer = door.send(body)

    assert answer.status_code == 400
    assert reason in answer.json()["error"]
    assert door.arrivals() == []
    (kept,) = door.quarantine()
    assert reason in kept["reason"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(sorted({*OWN, *TRACK, *AMPLITUDE, "properties", "type"}))


@given(st.dictionaries(names, json_values), st.sampled_from(["own", "amplitude", "mixpanel"]))
def test_any_json_is_a_message_or_malformed(message: dict[str, Any], shape: str) -> None:
    rules = Webhooks.model_validate({"payload_format": shape})
    for read in (parsers.parse_segment, parsers.parse_generic):
        try:
            found = read(message, NOW, rules)
        except InvalidMessageError:
            continue
        if found is not None:
            assert found.happened_at.tzinfo is UTC
            assert found.message_id


@pytest.mark.parametrize("source", ["segment", "generic"])
def test_nothing_is_read_of_who_has_not_the_secret(door: Door, source: str) -> None:
    for headers in ({"X-Signature": "0" * 40}, {"X-Webhook-Secret": "x"}, {"A": "b"}):
        assert door.send(b"{", source, **headers).status_code == 401

    assert door.arrivals() == door.quarantine() == []


def test_a_batch_signed_over_its_first_event_only_is_refused(door: Door) -> None:
    other = {**TRACK, "messageId": "forged"}
    first = hmac.new(SECRET.encode(), json.dumps(TRACK).encode(), hashlib.sha1).hexdigest()

    assert door.send([TRACK, other], "segment", **{"X-Signature": first}).status_code == 401

    body = json.dumps([TRACK, other]).encode()
    whole = hmac.new(SECRET.encode(), body, hashlib.sha1).hexdigest()
    headers = {"X-Signature": first, "X-Segment-Signature": whole}
    assert door.send(body, "segment", **headers).json()["accepted"] == 2


def _signed(body: bytes, at: datetime, secret: bytes = SECRET.encode()) -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    made = hmac.new(secret, f"msg_1.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,AAAA v1,{base64.b64encode(made).decode()}",
    }


@pytest.mark.parametrize(("late", "is_taken"), [(0, 1), (299, 1), (301, 0), (-299, 1), (-301, 0)])
def test_a_signed_request_is_taken_within_its_time_only(late: int, *, is_taken: int) -> None:
    body = json.dumps(OWN).encode()
    headers = _signed(body, NOW - timedelta(seconds=late))
    try:
        verify_generic(SECRET, headers, body, NOW, tolerance_seconds=300)
        taken = 1
    except InvalidSignatureError:
        taken = 0

    assert taken == is_taken


def test_the_standard_s_own_example_is_taken() -> None:
    # From the test vectors of the Standard Webhooks libraries.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    now = datetime.fromtimestamp(1614265330, UTC)

    verify_generic(secret, headers, b'{"test": 2432232314}', now, tolerance_seconds=300)
    with pytest.raises(InvalidSignatureError):
        verify_generic(secret, headers, b'{"test": 2432232315}', now, tolerance_seconds=300)


def test_a_body_that_is_too_long_is_refused_unread(door: Door) -> None:
    def drops() -> Any:
        for _ in range(600):
            yield b" " * 1024

    whole = door.send(b" " * (512 * 1024 + 1))
    flowing = door.client.post("/webhooks/generic", content=drops())

    assert (whole.status_code, flowing.status_code) == (413, 413)
    assert door.send(b" " * (512 * 1024 - 300) + json.dumps(OWN).encode()).status_code == 200
    zipped = door.client.post("/webhooks/generic", headers={"Content-Encoding": "gzip"})
    assert zipped.status_code == 415


def test_a_source_without_a_secret_is_closed(door: Door) -> None:
    with running(served(door.engine, generic_secret=None)) as client:
        assert client.post("/webhooks/generic", json=OWN).status_code == 403


def test_a_database_that_refuses_is_said_to_the_source_which_comes_again(door: Door) -> None:
    with store.write_transaction(door.engine) as connection:
        connection.exec_driver_sql("ALTER TABLE arrivals RENAME TO elsewhere")
    answer = door.send(OWN)
    with store.write_transaction(door.engine) as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO arrivals")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert door.send(OWN).status_code == 200
    assert len(door.arrivals()) == 1


def test_the_server_s_own_clock_says_when_it_was_received(door: Door) -> None:
    before = time.time()
    door.send(OWN)

    (kept,) = door.arrivals()
    assert before - 1 < kept["received_at"].replace(tzinfo=UTC).timestamp() < time.time() + 1

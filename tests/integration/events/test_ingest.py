"""Webhook ingestion: messages are durable before the response, invalid ones are quarantined."""

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config.settings import WebhooksConfig
from serving import store
from serving.events.ingest import parsers
from serving.events.ingest.parsers import InvalidMessageError
from serving.events.ingest.signatures import InvalidSignatureError, verify_generic
from tests.integration.events.webhook_client import (
    SECRET,
    WebhookServer,
    create_webhook_app,
    run_server,
    sign_body,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NATIVE: dict[str, Any] = {
    "message_id": "m-1",
    "account_id": "acme",
    "user_id": "u-1",
    "event": "view",
    "feature": "reports",
    "quantity": 2,
    "timestamp": "2026-06-01T09:30:00Z",
}
# A track call from Segment's documentation, with the fields that its libraries add.
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


def test_an_event_is_stored_in_the_schema_of_the_log(server: WebhookServer) -> None:
    assert server.post_message(NATIVE).json() == {"accepted": 1, "ignored": 0, "rejected": 0}

    (event,) = server.load_events()
    stored = {
        name: event[name] for name in ("workspace", "user_id", "event", "feature", "quantity")
    }
    assert stored == {
        "workspace": "acme",
        "user_id": "u-1",
        "event": "view",
        "feature": "reports",
        "quantity": 2.0,
    }
    assert store.as_utc(event["happened_at"]) == datetime(2026, 6, 1, 9, 30, tzinfo=UTC)


def test_segment_messages_are_stored_without_email_addresses(server: WebhookServer) -> None:
    group = {**TRACK, "type": "group", "messageId": "g"}

    answer = server.post_message([TRACK, group], "segment")

    assert answer.json() == {"accepted": 1, "ignored": 1, "rejected": 0}
    (event,) = server.load_events()
    assert event["message_id"] == "ajs-9f1c2b"
    assert event["workspace"] == "acme"
    assert event["user_id"].startswith("user-")
    assert "ada" not in str(event)
    assert store.as_utc(event["happened_at"]) == datetime(2026, 6, 1, 9, 30, 0, 500_000, UTC)


@pytest.mark.parametrize(
    ("payload_format", "message", "workspace"),
    [("amplitude", AMPLITUDE, "acme"), ("mixpanel", MIXPANEL, "42")],
)
def test_other_payload_formats_map_to_the_same_event(
    payload_format: str, message: dict[str, Any], workspace: str
) -> None:
    event = parsers.parse_generic(
        message, NOW, WebhooksConfig.model_validate({"payload_format": payload_format})
    )

    assert (event.message_id, event.workspace, event.user_id) == ("i-1", workspace, "u-1")
    assert (event.event, event.happened_at) == ("view", datetime(2026, 6, 1, 9, 30, tzinfo=UTC))


def test_a_field_path_can_be_configured() -> None:
    rules = WebhooksConfig.model_validate(
        {"fields": {"account": "tenant.id", "timestamp": "at_ms"}}
    )
    message = {"tenant": {"id": 7}, "at_ms": 1780306200000, "event": "view"}

    event = parsers.parse_generic(message, NOW, rules)

    assert (event.workspace, event.happened_at.hour) == ("7", 9)
    assert (
        event.message_id
        == parsers.parse_generic(dict(reversed(message.items())), NOW, rules).message_id
    )


def test_a_repeated_message_is_stored_once(server: WebhookServer) -> None:
    for _ in range(3):
        assert (
            server.post_message([NATIVE, NATIVE, {**NATIVE, "message_id": "m-2"}]).status_code
            == 200
        )

    assert [row["message_id"] for row in server.load_events()] == ["m-1", "m-2"]


def test_concurrent_requests_share_commits_and_lose_nothing(server: WebhookServer) -> None:
    with ThreadPoolExecutor(16) as pool:
        sent = [{**NATIVE, "message_id": f"m-{n % 150}"} for n in range(300)]
        statuses = {answer.status_code for answer in pool.map(server.post_message, sent)}

    assert statuses == {200}
    assert {row["message_id"] for row in server.load_events()} == {f"m-{n}" for n in range(150)}
    assert len(server.load_events()) == 150


def test_an_invalid_message_is_quarantined_and_a_valid_one_next_to_it_is_stored(
    server: WebhookServer,
) -> None:
    bad = {
        **NATIVE,
        "message_id": "m-2",
        "timestamp": "2026-06-01 09:30",
        "user_id": "mallory@acme.com",
    }

    assert server.post_message([NATIVE, bad]).json() == {"accepted": 1, "ignored": 0, "rejected": 1}

    assert len(server.load_events()) == 1
    (refused,) = server.load_quarantine()
    assert refused["reason"] == "timestamp has no time zone"
    assert "acme.com" in refused["body"]
    assert "mallory" not in refused["body"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "expected a message"),
        (b"3", "expected a message"),
        (b"[3]", "expected a JSON object"),
        (b"{}", "timestamp is missing"),
        (json.dumps({**NATIVE, "quantity": -1}).encode(), "expected a number from 0"),
        (b'{"quantity": NaN, "timestamp": 1}', "expected a number from 0"),
        (json.dumps({**NATIVE, "quantity": 10**400}).encode(), "expected a number from 0"),
        (json.dumps({**NATIVE, "timestamp": 10**400}).encode(), "not a valid time"),
        (json.dumps({**NATIVE, "timestamp": -(10**400)}).encode(), "not a valid time"),
        (b'{"timestamp": Infinity}', "not a valid time"),
        (json.dumps({**NATIVE, "timestamp": True}).encode(), "expected ISO 8601"),
        (json.dumps({**NATIVE, "timestamp": 1e300}).encode(), "not a valid time"),
        (
            json.dumps({**NATIVE, "timestamp": "9999-12-31T23:59:59-12:00"}).encode(),
            "not a valid time",
        ),
        (json.dumps({**NATIVE, "timestamp": "2999-01-01T00:00:00Z"}).encode(), "in the future"),
        (json.dumps({**NATIVE, "timestamp": "1970-01-01T00:00:00Z"}).encode(), "too old"),
        (json.dumps({**NATIVE, "user_id": "a\0b"}).encode(), "cannot be stored"),
        (json.dumps({**NATIVE, "event": "\ud800"}).encode(), "cannot be stored"),
        (json.dumps({**NATIVE, "account_id": ["a", "b"]}).encode(), "expected text"),
        (json.dumps({**NATIVE, "event": "x" * 500}).encode(), "longer than"),
    ],
)
def test_an_invalid_body_is_rejected_with_a_reason(
    server: WebhookServer, body: bytes, reason: str
) -> None:
    answer = server.post_message(body)

    assert answer.status_code == 400
    assert reason in answer.json()["error"]
    assert server.load_events() == []
    (event,) = server.load_quarantine()
    assert reason in event["reason"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(sorted({*NATIVE, *TRACK, *AMPLITUDE, "properties", "type"}))


@given(st.dictionaries(names, json_values), st.sampled_from(["own", "amplitude", "mixpanel"]))
def test_any_json_is_parsed_or_rejected(message: dict[str, Any], payload_format: str) -> None:
    rules = WebhooksConfig.model_validate({"payload_format": payload_format})
    for parse in (parsers.parse_segment, parsers.parse_generic):
        try:
            event = parse(message, NOW, rules)
        except InvalidMessageError:
            continue
        if event is not None:
            assert event.happened_at.tzinfo is UTC
            assert event.message_id


@pytest.mark.parametrize("source", ["segment", "generic"])
def test_a_request_without_the_secret_is_not_parsed(server: WebhookServer, source: str) -> None:
    for headers in ({"X-Signature": "0" * 40}, {"X-Webhook-Secret": "x"}, {"A": "b"}):
        assert server.post_message(b"{", source, **headers).status_code == 401

    assert server.load_events() == server.load_quarantine() == []


def test_a_batch_signed_over_its_first_event_only_is_rejected(server: WebhookServer) -> None:
    other = {**TRACK, "messageId": "forged"}
    first = sign_body(json.dumps(TRACK).encode(), "segment")["x-signature"]

    assert (
        server.post_message([TRACK, other], "segment", **{"X-Signature": first}).status_code == 401
    )

    body = json.dumps([TRACK, other]).encode()
    whole = sign_body(body, "segment")["x-signature"]
    headers = {"X-Signature": first, "X-Segment-Signature": whole}
    assert server.post_message(body, "segment", **headers).json()["accepted"] == 2


def sign_standard(body: bytes, at: datetime, secret: bytes = SECRET.encode()) -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    digest = hmac.new(secret, f"msg_1.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": "msg_1",
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,AAAA v1,{base64.b64encode(digest).decode()}",
    }


@pytest.mark.parametrize(("late", "is_taken"), [(0, 1), (299, 1), (301, 0), (-299, 1), (-301, 0)])
def test_a_signed_request_is_accepted_within_the_tolerance_only(
    late: int, *, is_taken: int
) -> None:
    body = json.dumps(NATIVE).encode()
    headers = sign_standard(body, NOW - timedelta(seconds=late))

    with nullcontext() if is_taken else pytest.raises(InvalidSignatureError):
        verify_generic(SECRET, headers, body, NOW)


def test_the_published_standard_webhooks_example_verifies() -> None:
    # From the test vectors of the Standard Webhooks libraries.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    now = datetime.fromtimestamp(1614265330, UTC)

    verify_generic(secret, headers, b'{"test": 2432232314}', now)
    with pytest.raises(InvalidSignatureError):
        verify_generic(secret, headers, b'{"test": 2432232315}', now)


def test_a_body_that_is_too_large_is_rejected_unread(server: WebhookServer) -> None:
    def drops() -> Any:
        for _ in range(600):
            yield b" " * 1024

    whole = server.post_message(b" " * (512 * 1024 + 1))
    flowing = server.client.post("/webhooks/generic", content=drops())

    assert (whole.status_code, flowing.status_code) == (413, 413)
    assert (
        server.post_message(b" " * (512 * 1024 - 300) + json.dumps(NATIVE).encode()).status_code
        == 200
    )
    zipped = server.client.post("/webhooks/generic", headers={"Content-Encoding": "gzip"})
    assert zipped.status_code == 415


def test_a_source_without_a_secret_is_forbidden(server: WebhookServer) -> None:
    with run_server(create_webhook_app(server.engine, generic_secret=None)) as client:
        assert client.post("/webhooks/generic", json=NATIVE).status_code == 403


def test_a_database_failure_answers_503_and_a_retry_succeeds(server: WebhookServer) -> None:
    with store.write_transaction(server.engine) as connection:
        connection.exec_driver_sql("ALTER TABLE webhook_events RENAME TO elsewhere")
    answer = server.post_message(NATIVE)
    with store.write_transaction(server.engine) as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO webhook_events")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert server.post_message(NATIVE).status_code == 200
    assert len(server.load_events()) == 1


def test_the_receive_time_is_the_clock_of_the_server(server: WebhookServer) -> None:
    before = time.time()
    server.post_message(NATIVE)

    (event,) = server.load_events()
    assert before - 1 < store.as_utc(event["received_at"]).timestamp() < time.time() + 1

"""Invalid, truncated, expired and foreign signatures; and replays of valid ones."""

import base64
import json
import time
from collections.abc import Iterator

from tests.security import raw_http
from tests.security.attack import Attack


def run(attack: Attack) -> None:
    """Check that only validly signed requests are accepted."""
    connection = attack.connect()
    for _ in range(attack.scale_count(40)):
        for source in ("generic", "segment"):
            event = attack.build_event(source)
            event["messageId" if source == "segment" else "message_id"] = attack.new_id("forged")
            body = json.dumps(event).encode()
            for headers in forge_headers(attack, source, body):
                response = attack.post_webhook(connection, source, body, headers)
                refused = response.status in {401, 400}  # 400: invalid in a header
                attack.check(
                    "a forged event was accepted", holds=refused, observed=(headers, response)
                )
    replay_request(attack)
    connection.close()


def forge_headers(attack: Attack, source: str, body: bytes) -> Iterator[dict[str, str]]:
    secret, now = attack.target.secrets[source], time.time()
    other = attack.target.secrets["segment" if source == "generic" else "generic"]
    if source == "segment":
        signed = raw_http.sign_segment(secret, body)["X-Signature"]
        yield from ({"X-Signature": each} for each in mutate_signature(signed))
        yield raw_http.sign_segment(other, body)
        yield raw_http.sign_segment(secret, body + b" ")
        yield {"X-Webhook-Secret": secret}
        yield raw_http.sign_standard(secret, body, now)
        return
    standard = raw_http.sign_standard(secret, body, now)
    for each in mutate_signature(standard["Webhook-Signature"]):
        yield {**standard, "Webhook-Signature": each}
    for seconds in (-86_400, -301 - 5, 301 + 5, 86_400):
        yield raw_http.sign_standard(secret, body, now + seconds)
    for timestamp in ("", "-1", "1e9", "9" * 12, "9" * 400, "\u0661", "nan"):
        yield {**standard, "Webhook-Timestamp": timestamp}
    yield {**standard, "Webhook-Id": "another"}
    yield raw_http.sign_standard(secret, body + b" ", now)
    yield raw_http.sign_standard(other, body, now)
    yield {**standard, "Webhook-Signature": "", "X-Webhook-Secret": secret}
    yield raw_http.sign_segment(secret, body)
    for given in ("", "x", secret[:-1], secret + "x", secret.swapcase(), "é" * 9, "*", "Bearer "):
        yield {"X-Webhook-Secret": given}
        yield raw_http.bearer_header(given)
    yield {"Authorization": "Basic " + base64.b64encode(f"x:{secret}".encode()).decode()}
    yield {}


def mutate_signature(signature: str) -> Iterator[str]:
    yield from ("", " ", "v1,", "v1", ",", signature[:-1], signature[:10], "0" * len(signature))
    yield signature + "=" * 2
    yield signature[::-1]
    yield "v2," + signature.removeprefix("v1,") + "x"
    yield " ".join(["v1,AAAA"] * 1_000)
    yield "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1")


def replay_request(attack: Attack) -> None:
    """Replay a valid request within the tolerance."""
    connection = attack.connect()
    event = attack.build_event()
    body = json.dumps(event).encode()
    headers = raw_http.sign_standard(attack.target.secrets["generic"], body, time.time())
    for _ in range(attack.scale_count(50)):
        response = attack.post_webhook(
            connection, "generic", body, headers, valid_ids=[event["message_id"]]
        )
        attack.expect_status("a replay was not idempotent", response, 200)
    connection.close()

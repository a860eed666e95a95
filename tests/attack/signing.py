"""Signatures that are wrong, cut short, old, or another's; and right ones, sent again."""

import base64
import json
import time
from collections.abc import Iterator

import wire
from attack import Attack
from ledger import Kind


def run(at: Attack, kind: Kind) -> None:
    """Nothing but 401 for what nobody with the secret has signed now."""
    line = at.line()
    for _ in range(at.times(40)):
        for source in ("generic", "segment"):
            event = at.event(source)
            event["messageId" if source == "segment" else "message_id"] = at.new_id("forged")
            body = json.dumps(event).encode()
            for headers in _forged(at, source, body):
                answer = at.post(kind, line, source, body, headers)
                refused = answer.status in {401, 400}  # 400: what no header can hold
                kind.law("a forged event was taken", holds=refused, found=(headers, answer))
    _again(at, kind)
    line.close()


def _forged(at: Attack, source: str, body: bytes) -> Iterator[dict[str, str]]:
    right, now = at.target.secrets[source], time.time()
    other = at.target.secrets["segment" if source == "generic" else "generic"]
    if source == "segment":
        signed = wire.by_segment(right, body)["X-Signature"]
        yield from ({"X-Signature": each} for each in _spoiled(signed))
        yield wire.by_segment(other, body)
        yield wire.by_segment(right, body + b" ")
        yield {"X-Webhook-Secret": right}
        yield wire.by_standard(right, body, now)
        return
    standard = wire.by_standard(right, body, now)
    for each in _spoiled(standard["Webhook-Signature"]):
        yield {**standard, "Webhook-Signature": each}
    for seconds in (-86_400, -301 - 5, 301 + 5, 86_400):
        yield wire.by_standard(right, body, now + seconds)
    for stamp in ("", "-1", "1e9", "9" * 12, "9" * 400, "\u0661", "nan"):
        yield {**standard, "Webhook-Timestamp": stamp}
    yield {**standard, "Webhook-Id": "another"}
    yield wire.by_standard(right, body + b" ", now)
    yield wire.by_standard(other, body, now)
    yield {**standard, "Webhook-Signature": "", "X-Webhook-Secret": right}
    yield wire.by_segment(right, body)
    for given in ("", "x", right[:-1], right + "x", right.swapcase(), "é" * 9, "*", "Bearer "):
        yield {"X-Webhook-Secret": given}
        yield wire.bearer(given)
    yield {"Authorization": "Basic " + base64.b64encode(f"x:{right}".encode()).decode()}
    yield {}


def _spoiled(signature: str) -> Iterator[str]:
    yield from ("", " ", "v1,", "v1", ",", signature[:-1], signature[:10], "0" * len(signature))
    yield signature + "=" * 2
    yield signature[::-1]
    yield "v2," + signature.removeprefix("v1,") + "x"
    yield " ".join(["v1,AAAA"] * 1_000)
    yield "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1")


def _again(at: Attack, kind: Kind) -> None:
    """A right request that somebody caught, sent again while its time has not run out."""
    line = at.line()
    event = at.event()
    body = json.dumps(event).encode()
    headers = wire.by_standard(at.target.secrets["generic"], body, time.time())
    for _ in range(at.times(50)):
        answer = at.post(kind, line, "generic", body, headers, honest=[event["message_id"]])
        kind.law("a repeat was not taken as such", holds=answer.status == 200, found=answer)
    line.close()

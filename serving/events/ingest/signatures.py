"""Verify webhook signatures (HMAC) over the raw body before parsing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

__all__ = ["InvalidSignatureError", "verify_generic", "verify_segment"]

_PREFIX: Final = "whsec_"
_TOLERANCE_SECONDS: Final = 300  # of Webhook-Timestamp, past or future


class InvalidSignatureError(Exception):
    """The signature is missing or wrong, or the request is too old."""


def verify_segment(secret: str, headers: Mapping[str, str], body: bytes) -> None:
    """Verify Segment's signature: hexadecimal HMAC-SHA1 over the whole body.

    In batches, ``X-Signature`` covers the first event only; such a request is rejected, since the
    other events are not authenticated. ``X-Segment-Signature`` covers the whole body.

    Raises ``InvalidSignatureError`` if the signature is missing or wrong.
    """
    expected = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    signatures = [headers.get(name, "") for name in ("x-segment-signature", "x-signature")]
    if not any(_compare_digests(signature.strip().lower(), expected) for signature in signatures):
        raise InvalidSignatureError(
            "expected X-Signature or X-Segment-Signature over the whole body"
        )


def verify_generic(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Verify a Standard Webhooks signature, or else the secret itself in a header.

    A signed request carries a timestamp and is rejected more than five minutes from it. A source
    that does not sign sends ``Authorization: Bearer`` or ``X-Webhook-Secret``.

    Raises ``InvalidSignatureError`` if the signature is missing, wrong or outside the tolerance.
    """
    if "webhook-signature" in headers:
        _verify_standard(secret, headers, body, now)
        return
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    if not any(
        _compare_digests(candidate, secret)
        for candidate in (bearer, headers.get("x-webhook-secret", ""))
    ):
        raise InvalidSignatureError("expected Webhook-Signature, Authorization or X-Webhook-Secret")


def _verify_standard(secret: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    timestamp = headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise InvalidSignatureError("expected Webhook-Timestamp in whole seconds since 1970")
    if abs(now.timestamp() - int(timestamp)) > _TOLERANCE_SECONDS:
        raise InvalidSignatureError("Webhook-Timestamp is outside the tolerance")
    signed = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
    expected = base64.b64encode(
        hmac.new(_decode_secret(secret), signed, hashlib.sha256).digest()
    ).decode()
    signatures = headers["webhook-signature"].split()[:10]
    if not any(
        _compare_digests(signature.removeprefix("v1,"), expected) for signature in signatures
    ):
        raise InvalidSignatureError("Webhook-Signature does not match the body")


def _decode_secret(secret: str) -> bytes:
    """Return the secret's bytes; a ``whsec_`` secret is base64."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        return secret.encode()


def _compare_digests(received: str, expected: str) -> bool:
    return hmac.compare_digest(received.encode("utf-8", "replace"), expected.encode())

"""Webhook handler: from the raw body to a response once its messages are durable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from data.config.settings import WebhooksConfig
from data.errors import DeliveryError
from serving.events.ingest import parsers, signatures
from serving.events.ingest.parsers import InboundEvent, InvalidMessageError
from serving.events.ingest.signatures import InvalidSignatureError
from serving.events.ingest.writer import EventWriter, QueueFullError, RejectedMessage

__all__ = ["WebhookHandler", "WebhookResponse"]

_STORED_BODY_BYTES: Final = 2_000
_ADDRESS: Final = re.compile(r"[^\s<>,;\"']+@")  # everything before the domain
_MAX_MESSAGES: Final = 10_000  # per request


@dataclass(frozen=True)
class WebhookResponse:
    """Status code and JSON body of a response."""

    status: int
    body: Mapping[str, Any]


@dataclass(frozen=True)
class WebhookHandler:
    """Handles webhook requests: verifies, parses and stores their messages."""

    settings: WebhooksConfig
    writer: EventWriter

    async def handle(
        self, source: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> WebhookResponse:
        """Handle one request; return once its messages are committed.

        The source is ``segment`` or ``generic``; the keys of the headers are in lower case.
        """
        failure = self._check_signature(source, headers, body, now)
        if failure is not None:
            return failure
        accepted, rejected, ignored = self._parse_body(source, body, now)
        try:
            if accepted or rejected:
                await self.writer.append(source, accepted, rejected, now)
        except (QueueFullError, DeliveryError) as error:
            return WebhookResponse(503, {"error": str(error)})
        counts = {"accepted": len(accepted), "ignored": ignored, "rejected": len(rejected)}
        if rejected and not (accepted or ignored):
            return WebhookResponse(400, {**counts, "error": rejected[0].reason})
        return WebhookResponse(200, counts)

    def _check_signature(
        self, source: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> WebhookResponse | None:
        secret = self.settings.secrets.get(source)
        if secret is None:
            problem = f"no secret is set for this source (webhooks.{source}_secret)"
            return WebhookResponse(403, {"error": problem})
        try:
            if source == "segment":
                signatures.verify_segment(secret.get_secret_value(), headers, body)
            else:
                signatures.verify_generic(secret.get_secret_value(), headers, body, now)
        except InvalidSignatureError as error:
            return WebhookResponse(401, {"error": str(error)})
        return None

    def _parse_body(
        self, source: str, body: bytes, now: datetime
    ) -> tuple[list[InboundEvent], list[RejectedMessage], int]:
        """Return the accepted messages, the rejected ones, and the number of ignored ones."""
        accepted: list[InboundEvent] = []
        rejected: list[RejectedMessage] = []
        ignored = 0
        parse_message = parsers.parse_segment if source == "segment" else parsers.parse_generic
        try:
            messages = parsers.list_messages(json.loads(body))
            if len(messages) > _MAX_MESSAGES:
                raise InvalidMessageError(
                    f"expected at most {_MAX_MESSAGES:,} messages in one request"
                )
        except InvalidMessageError as error:
            return [], [_build_rejection(str(error), body)], 0
        except (ValueError, RecursionError):
            return [], [_build_rejection("the body is not valid JSON", body)], 0
        for raw_message in messages:
            try:
                message = parse_message(raw_message, now, self.settings)
            except (InvalidMessageError, RecursionError) as error:
                reason = (
                    str(error) if isinstance(error, InvalidMessageError) else "too deeply nested"
                )
                rejected.append(_build_rejection(reason, _serialize_message(raw_message)))
                continue
            if message is None:
                ignored += 1
            else:
                accepted.append(message)
        return accepted, rejected, ignored


def _serialize_message(message: Any) -> bytes:  # noqa: ANN401 - any JSON
    try:
        return json.dumps(message).encode()
    except RecursionError:
        return b""


def _build_rejection(reason: str, body: bytes) -> RejectedMessage:
    """Build a rejection with the start of the body, redacted and storable in any database."""
    start = body[:_STORED_BODY_BYTES].decode("utf-8", "replace").replace("\0", "\ufffd")
    return RejectedMessage(reason, _ADDRESS.sub("", start))

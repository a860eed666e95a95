"""One request from its raw bytes to its answer: signature, size, JSON, messages, durable."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from data.errors import DeliveryError
from data.settings import Webhooks
from serving.events import shapes, signatures
from serving.events.shapes import Malformed, Message
from serving.events.signatures import Unsigned
from serving.events.store import Full, Refused, Store

__all__ = ["Answer", "Intake"]

_KEPT_OF_BODY: Final = 2_000
_ADDRESS: Final = re.compile(r"[^\s<>,;\"']+@")  # all but its domain
_MOST_MESSAGES: Final = 10_000  # of one request


@dataclass(frozen=True)
class Answer:
    """A status code, and what is said with it."""

    status: int
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Intake:
    """Takes requests of a source.

    Attributes
    ----------
    settings : data.settings.Webhooks
        Secrets, shapes and limits.
    store : serving.events.store.Store
        Where messages are kept.
    """

    settings: Webhooks
    store: Store

    @property
    def most_bytes(self) -> int:
        """A longer body is refused unread."""
        return self.settings.max_body_kb * 1024

    async def take(
        self, source: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Answer:
        """Take a request; the answer comes when what it holds is durable.

        Parameters
        ----------
        source : {"segment", "generic"}
            Who sends.
        headers : mapping of str to str
            By names in lower case.
        body : bytes
            As it came.
        now : datetime.datetime
            The clock, UTC.
        """
        refusal = self._unsigned(source, headers, body, now)
        if refusal is not None:
            return refusal
        taken, refused, ignored = self._read(source, body, now)
        try:
            if taken or refused:
                await self.store.keep(source, taken, refused, now)
        except Full as full:
            return Answer(503, {"error": str(full)})
        except DeliveryError as error:
            return Answer(503, {"error": str(error)})
        told = {"accepted": len(taken), "ignored": ignored, "refused": len(refused)}
        if refused and not (taken or ignored):
            return Answer(400, {**told, "error": refused[0].reason})
        return Answer(200, told)

    def _unsigned(
        self, source: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Answer | None:
        secret = {
            "segment": self.settings.segment_secret,
            "generic": self.settings.generic_secret,
        }[source]
        if secret is None:
            told = f"no secret is set for this source (webhooks.{source}_secret)"
            return Answer(403, {"error": told})
        try:
            if source == "segment":
                signatures.segment(secret.get_secret_value(), headers, body)
            else:
                tolerance = self.settings.tolerance_seconds
                signatures.generic(
                    secret.get_secret_value(), headers, body, now, tolerance_seconds=tolerance
                )
        except Unsigned as error:
            return Answer(401, {"error": str(error)})
        return None

    def _read(
        self, source: str, body: bytes, now: datetime
    ) -> tuple[list[Message], list[Refused], int]:
        """The messages that make sense, those that do not, and how many tell of no event."""
        taken: list[Message] = []
        refused: list[Refused] = []
        ignored = 0
        read = shapes.segment if source == "segment" else shapes.generic
        try:
            found = shapes.messages(json.loads(body))
            if len(found) > _MOST_MESSAGES:
                raise Malformed(f"expected at most {_MOST_MESSAGES:,} messages in one request")
        except Malformed as error:
            return [], [_refused(str(error), body)], 0
        except (ValueError, RecursionError):
            return [], [_refused("the body is not JSON that can be read", body)], 0
        for each in found:
            try:
                message = read(each, now, self.settings)
            except (Malformed, RecursionError) as error:
                why = str(error) if isinstance(error, Malformed) else "too deeply nested"
                refused.append(_refused(why, _written(each)))
                continue
            if message is None:
                ignored += 1
            else:
                taken.append(message)
        return taken, refused, ignored


def _written(message: Any) -> bytes:  # noqa: ANN401 - any JSON
    try:
        return json.dumps(message).encode()
    except RecursionError:
        return b""


def _refused(reason: str, body: bytes) -> Refused:
    """Keep how it began, without anybody's address, in signs that every database stores."""
    start = body[:_KEPT_OF_BODY].decode("utf-8", "replace").replace("\0", "\ufffd")
    return Refused(reason, _ADDRESS.sub("", start))

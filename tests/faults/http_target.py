"""A target over real HTTP, for a CRM that answers JSON."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import httpx

from serving.delivery.crm.base import (
    AccessDeniedError,
    Applied,
    BatchRejectedError,
    FieldChange,
    Fields,
    HumanTouch,
    Kind,
    ObjectRef,
    PreflightCheck,
    RateLimit,
    Rejected,
    RemoteObject,
    RetryableError,
    Value,
    WriteResult,
)

_LATER = {429, 500, 502, 503, 504}


class HttpTarget:
    """``point`` is called at each point where a process may die: around each request."""

    name = "http"

    def __init__(
        self,
        url: str,
        *,
        rows_per_call: int = 100,
        calls: int | None = None,
        seconds: float = 0.3,
        point: Callable[[], None] = lambda: None,
        tells: bool = False,
    ) -> None:
        self._client = httpx.Client(base_url=url, timeout=seconds)
        self._pace, self._point = RateLimit(rows_per_call, calls), point
        self._tells = tells
        self.asked_since: list[date] = []

    @property
    def rate_limit(self) -> RateLimit:
        return self._pace

    def normalize(self, _: Kind, fields: Fields) -> dict[str, Value]:
        return dict(fields)

    def read(self, refs: Sequence[ObjectRef]) -> list[RemoteObject | None]:
        told = self._post("/read", [asdict(ref) for ref in refs])
        return [None if each is None else RemoteObject(**each) for each in told]

    def write(self, changes: Sequence[FieldChange]) -> list[WriteResult]:
        asked = [{"ref": asdict(each.ref), "fields": dict(each.fields)} for each in changes]
        told = self._post("/write", asked)
        return [Applied(**each) if "crm_id" in each else Rejected(**each) for each in told]

    def preflight(self, _: Sequence[ObjectRef]) -> list[PreflightCheck]:
        return []

    def provision(self) -> list[str]:
        return []

    def fetch_human_touches(self, since: date) -> list[HumanTouch]:
        self.asked_since.append(since)
        told = self._post("/worked", str(since)) if self._tells else []
        return [
            HumanTouch(each["account_id"], date.fromisoformat(each["on"]), "call") for each in told
        ]

    def close(self) -> None:
        self._client.close()

    def _post(self, path: str, asked: Any) -> Any:
        self._point()
        try:
            answer = self._client.post(path, json=asked)
            self._point()
        except httpx.TransportError as error:
            raise RetryableError(f"{type(error).__name__}: {error}") from error
        if answer.status_code in _LATER:
            after = answer.headers.get("Retry-After")
            raise RetryableError(f"HTTP {answer.status_code}", float(after) if after else None)
        if answer.status_code in {401, 403}:
            raise AccessDeniedError("the key is not valid; give another.")
        if answer.status_code == 422:
            raise BatchRejectedError(str(answer.json()))
        return answer.json()

"""A CRM target over real HTTP, for the faulty CRM."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import httpx

from serving.delivery.crm import base

_RETRYABLE_STATUSES = {429, 500, 502, 503, 504}


class HttpTarget:
    """CRM target; ``on_point`` is called at each kill point, before and after each request."""

    name = "http"

    def __init__(
        self,
        url: str,
        *,
        rows_per_call: int = 100,
        max_calls: int | None = None,
        timeout_seconds: float = 0.3,
        on_point: Callable[[], None] = lambda: None,
        returns_touches: bool = False,
    ) -> None:
        self._client = httpx.Client(base_url=url, timeout=timeout_seconds)
        self._pace, self._on_point = base.RateLimit(rows_per_call, max_calls), on_point
        self._returns_touches = returns_touches
        self.requested_since: list[date] = []

    @property
    def rate_limit(self) -> base.RateLimit:
        return self._pace

    def normalize(self, _: base.Kind, fields: base.Fields) -> dict[str, base.Value]:
        return dict(fields)

    def read(self, refs: Sequence[base.ObjectRef]) -> list[base.RemoteObject | None]:
        response = self._post("/read", [asdict(ref) for ref in refs])
        return [None if each is None else base.RemoteObject(**each) for each in response]

    def write(self, changes: Sequence[base.FieldChange]) -> list[base.WriteResult]:
        request = [{"ref": asdict(each.ref), "fields": dict(each.fields)} for each in changes]
        response = self._post("/write", request)
        return [
            base.Applied(**each) if "crm_id" in each else base.Rejected(**each) for each in response
        ]

    def preflight(self, _: Sequence[base.ObjectRef]) -> list[base.PreflightCheck]:
        return []

    def provision(self) -> list[str]:
        return []

    def fetch_human_touches(self, since: date) -> list[base.HumanTouch]:
        self.requested_since.append(since)
        response = self._post("/touches", str(since)) if self._returns_touches else []
        return [
            base.HumanTouch(each["account_id"], date.fromisoformat(each["touched_on"]), "call")
            for each in response
        ]

    def close(self) -> None:
        self._client.close()

    def _post(self, path: str, request: Any) -> Any:
        self._on_point()
        try:
            response = self._client.post(path, json=request)
            self._on_point()
        except httpx.TransportError as error:
            raise base.RetryableError(f"{type(error).__name__}: {error}") from error
        if response.status_code in _RETRYABLE_STATUSES:
            retry_after = response.headers.get("Retry-After")
            raise base.RetryableError(
                f"HTTP {response.status_code}", float(retry_after) if retry_after else None
            )
        if response.status_code in {401, 403}:
            raise base.AccessDeniedError("the key is not valid; give another.")
        if response.status_code == 422:
            raise base.BatchRejectedError(response.text)
        return response.json()

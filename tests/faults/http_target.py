"""A target over real HTTP, for a CRM that answers JSON."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import httpx

from serving.crm.target import (
    Accepted,
    Answer,
    BatchRefused,
    Change,
    Denied,
    Fields,
    Finding,
    Found,
    Kind,
    Pace,
    Ref,
    Refused,
    Transient,
    Value,
    Worked,
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
        self._pace, self._point = Pace(rows_per_call, calls), point
        self._tells = tells
        self.asked_since: list[date] = []

    @property
    def pace(self) -> Pace:
        return self._pace

    def shape(self, _: Kind, fields: Fields) -> dict[str, Value]:
        return dict(fields)

    def read(self, refs: Sequence[Ref]) -> list[Found | None]:
        told = self._post("/read", [asdict(ref) for ref in refs])
        return [None if each is None else Found(**each) for each in told]

    def write(self, changes: Sequence[Change]) -> list[Answer]:
        asked = [{"ref": asdict(each.ref), "fields": dict(each.fields)} for each in changes]
        told = self._post("/write", asked)
        return [Accepted(**each) if "crm_id" in each else Refused(**each) for each in told]

    def check(self, _: Sequence[Ref]) -> list[Finding]:
        return []

    def setup(self) -> list[str]:
        return []

    def worked(self, since: date) -> list[Worked]:
        self.asked_since.append(since)
        told = self._post("/worked", str(since)) if self._tells else []
        return [Worked(each["account_id"], date.fromisoformat(each["on"]), "call") for each in told]

    def close(self) -> None:
        self._client.close()

    def _post(self, path: str, asked: Any) -> Any:
        self._point()
        try:
            answer = self._client.post(path, json=asked)
            self._point()
        except httpx.TransportError as error:
            raise Transient(f"{type(error).__name__}: {error}") from error
        if answer.status_code in _LATER:
            after = answer.headers.get("Retry-After")
            raise Transient(f"HTTP {answer.status_code}", float(after) if after else None)
        if answer.status_code in {401, 403}:
            raise Denied("the key is not valid; give another.")
        if answer.status_code == 422:
            raise BatchRefused(str(answer.json()))
        return answer.json()

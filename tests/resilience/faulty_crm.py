"""A CRM over real HTTP with injected faults, before and after a write takes effect.

It holds its objects in memory, one per key, and counts every request and every fault.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.http_server import FaultyService, JsonHandler, Response

FAULTS = ("time-out", "reset", "429", "500", "502", "503", "half a response")


class _Handler(JsonHandler):
    service: "FaultyCrm"

    def serve(self) -> None:
        request = json.loads(self.read_body())
        fault, after_effect = self.service.draw_fault(self.path)
        # Half a response is possible only for a request that was handled.
        is_handled = fault is None or after_effect or fault == "half a response"
        response = self.service.handle(self.path, request) if is_handled else None
        if response is not None and fault in {None, "half a response"}:
            self.send_json(response, cut=fault is not None)
        elif fault is not None and fault.isdecimal():
            self.send_json((int(fault), "later"), {"Retry-After": "1"} if fault == "429" else {})
        else:
            self.drop_connection(waits=fault == "time-out")


@dataclass
class FaultyCrm(FaultyService):
    """Objects by kind and key.

    ``rejected_keys`` are always rejected, alone or, with ``rejects_batches``, with their whole
    batch; ``failing_keys`` always cause HTTP 500.
    """

    handler_class, faults = _Handler, FAULTS
    rejected_keys: frozenset[str] = frozenset()
    rejects_batches: bool = False
    failing_keys: frozenset[str] = frozenset()
    objects: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    touches: list[dict[str, str]] = field(default_factory=list)
    created: list[str] = field(default_factory=list)

    def handle(self, path: str, request: Any) -> Response:
        with self.lock:
            if path == "/touches":
                return 200, [each for each in self.touches if each["touched_on"] >= request]
            if path == "/read":
                return 200, [self._find(ref) for ref in request]
            return self._write(request)

    def edit_as_human(self, kind: str, key: str, name: str, value: Any) -> None:
        """Set a field as a human would."""
        with self.lock:
            self.objects[kind][key]["fields"][name] = value

    def _find(self, ref: dict[str, Any]) -> Any:
        stored = self.objects.get(ref["kind"], {})
        if ref["crm_id"]:
            return next((each for each in stored.values() if each["crm_id"] == ref["crm_id"]), None)
        return stored.get(ref["key"])

    def _write(self, changes: list[dict[str, Any]]) -> Response:
        keys = {change["ref"]["key"] for change in changes}
        if keys & self.failing_keys:
            return 500, "internal error"
        if self.rejects_batches and keys & self.rejected_keys:
            return 422, f"invalid value in {min(keys & self.rejected_keys)}"
        return 200, [self._apply(change) for change in changes]

    def _apply(self, change: dict[str, Any]) -> dict[str, Any]:
        ref = change["ref"]
        if ref["key"] in self.rejected_keys:
            return {"reason": "invalid value"}
        stored = self.objects.setdefault(ref["kind"], {})
        if ref["key"] not in stored:
            self.created.append(ref["key"])
            crm_id = f"{ref['kind']}-{len(self.created)}"
            stored[ref["key"]] = {"crm_id": crm_id, "fields": {}, "created_by_us": True}
        stored[ref["key"]]["fields"].update(change["fields"])
        return {"crm_id": stored[ref["key"]]["crm_id"]}

"""Requests drawn from the app's own schema, well-formed and not, by schemathesis."""

import json
from typing import Any

import requests
import schemathesis
from attack import Attack
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as rules
from hypothesis import strategies as st
from ledger import Kind
from wire import Answer

from data.config import settings
from serving.web import app

EXAMPLES = 120  # of every address and viewer
_TEXT = {"type": "string", "maxLength": 60}
_MESSAGE = {
    "type": "object",
    "required": ["account_id", "timestamp"],
    "properties": {
        "message_id": _TEXT,
        "account_id": _TEXT,
        "user_id": _TEXT,
        "event": _TEXT,
        "feature": _TEXT,
        "quantity": {"type": "number", "minimum": 0},
        "timestamp": {"type": "string", "format": "date-time"},
    },
}
# The webhooks stand in front of the app, and are not in its schema.
_HOOK = {
    "post": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [_MESSAGE, {"type": "array", "items": _MESSAGE}]}
                }
            },
        },
        "responses": {"200": {"description": "kept"}},
    }
}
_ANY_TEXT = {"type": "string"}
_FIELDS = ("seal", "once", "verdict", "why", "until", "token", "to")
_FORM = {
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object", "properties": {each: _ANY_TEXT for each in _FIELDS}}
        }
    }
}


def run(at: Attack, kind: Kind) -> None:
    """Ask for every address, as each kind of viewer."""
    schema = schemathesis.openapi.from_dict(_schema(at))
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()
            viewers = ("",) if "webhooks" in operation.path else ("lead", "Ada", "")
            for viewer in viewers:
                _try(at, kind, operation, viewer, session)


def _try(at: Attack, kind: Kind, operation: Any, viewer: str, session: requests.Session) -> None:
    headers = at.viewer(viewer)
    if "webhooks" in operation.path:
        headers = {"X-Webhook-Secret": at.target.secrets["generic"]}
    negative = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    cases: st.SearchStrategy[schemathesis.Case] = operation.as_strategy() | negative

    @given(case=cases)
    @rules(
        max_examples=at.times(EXAMPLES),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def tried(case: schemathesis.Case) -> None:
        try:
            told = case.call(
                base_url=f"http://127.0.0.1:{at.port}",
                headers=headers,
                session=session,
                allow_redirects=False,
                timeout=30,
            )
        except requests.ConnectionError:
            at.ledger.note(kind, Answer(0))
            return
        answer = Answer(told.status_code, {}, told.content or b"")
        asked = f"{operation.method} {told.request.url} {told.request.body!r}"
        at.ledger.note(kind, answer, viewer=viewer, asked=asked)

    tried()


def _schema(at: Attack) -> dict[str, Any]:
    made = app.create_app(
        settings.load_settings(at.target.config), at.target.engine, clock=lambda: None
    )
    told: dict[str, Any] = json.loads(json.dumps(made.openapi()))
    for path in ("/account", "/sign-in"):
        told["paths"][path]["post"]["requestBody"] = _FORM
    told["paths"]["/webhooks/generic"] = _HOOK
    return told

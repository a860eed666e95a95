"""Schema-based fuzzing with schemathesis, with valid and invalid requests."""

import json
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as rules
from hypothesis import strategies as st

from data.config import settings
from serving.web import app
from tests.security.attack import Attack
from tests.security.raw_http import RawResponse

EXAMPLES = 120  # per URL and user
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
# Webhooks are served by a middleware and are not in the schema of the app.
_WEBHOOK = {
    "post": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": [_MESSAGE, {"type": "array", "items": _MESSAGE}]}
                }
            },
        },
        "responses": {"200": {"description": "stored"}},
    }
}
_ANY_TEXT = {"type": "string"}
_FIELDS = ("csrf_token", "form_id", "verdict", "reason", "snoozed_until", "token", "next")
_FORM = {
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object", "properties": {each: _ANY_TEXT for each in _FIELDS}}
        }
    }
}


def run(attack: Attack) -> None:
    """Request every route as each kind of user."""
    schema = schemathesis.openapi.from_dict(build_schema(attack))
    with requests.Session() as session:
        for observed in schema.get_all_operations():
            operation = observed.ok()
            users = ("",) if "webhooks" in operation.path else ("lead", "Ada", "")
            for user in users:
                run_operation(attack, operation, user, session)


def run_operation(attack: Attack, operation: Any, user: str, session: requests.Session) -> None:
    headers = attack.authorize(user)
    if "webhooks" in operation.path:
        headers = {"X-Webhook-Secret": attack.target.secrets["generic"]}
    negative = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
    cases: st.SearchStrategy[schemathesis.Case] = operation.as_strategy() | negative

    @given(case=cases)
    @rules(
        max_examples=attack.scale_count(EXAMPLES),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def run_case(case: schemathesis.Case) -> None:
        try:
            raw_response = case.call(
                base_url=f"http://127.0.0.1:{attack.port}",
                headers=headers,
                session=session,
                allow_redirects=False,
                timeout=30,
            )
        except requests.ConnectionError:
            attack.record(RawResponse(0))
            return
        response = RawResponse(raw_response.status_code, {}, raw_response.content or b"")
        request = f"{operation.method} {raw_response.request.url} {raw_response.request.body!r}"
        attack.record(response, user=user, request=request)

    run_case()


def build_schema(attack: Attack) -> dict[str, Any]:
    web_app = app.create_app(
        settings.load_settings(attack.target.config), attack.target.engine, clock=lambda: None
    )
    schema: dict[str, Any] = json.loads(json.dumps(web_app.openapi()))
    for path in ("/account", "/sign-in"):
        schema["paths"][path]["post"]["requestBody"] = _FORM
    schema["paths"]["/webhooks/generic"] = _WEBHOOK
    return schema

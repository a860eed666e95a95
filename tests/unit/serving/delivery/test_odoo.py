"""The Odoo target against recorded responses of Odoo 19."""

import html
import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config.delivery import OdooConfig
from data.config.settings import Settings, load_settings
from data.errors import SettingsError
from serving.delivery.crm.base import (
    KINDS,
    AccessDeniedError,
    Applied,
    BatchRejectedError,
    FieldChange,
    HumanTouch,
    Kind,
    ObjectRef,
    Rejected,
    RetryableError,
)
from serving.delivery.crm.fields import FIELDS
from serving.delivery.crm.odoo import OdooTarget, create_target
from serving.delivery.crm.odoo.client import OdooClient
from serving.delivery.crm.odoo.field_mapping import (
    HTML_FIELDS,
    MODELS,
    OdooFieldMapping,
    build_external_id,
)
from tests.fakes.field_values import fields_of

NAMES = OdooFieldMapping.from_config(OdooConfig())
SECRET = "9f1c0ffee"  # noqa: S105 - made up
VALUES = {"text": st.text(), "multiline": st.text(), "date": st.dates().map(str)}
Responses = Callable[[httpx.Request], httpx.Response]


def open_odoo(responses: Responses) -> OdooTarget:
    transport = httpx.MockTransport(responses)
    client = OdooClient("http://odoo.test", "crm", SECRET, transport=transport)
    return OdooTarget(client, OdooConfig())


def to_stored(sent: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """Return what Odoo stores of a write and returns: 0 and false for empty fields."""
    stored = dict.fromkeys(NAMES.get_names(kind).values(), False) | sent
    return {name: 0 if value is None else value for name, value in stored.items()}


@settings(max_examples=300)
@given(st.data(), st.sampled_from(KINDS))
def test_normalizing_is_idempotent(data: st.DataObject, kind: Kind) -> None:
    normalized = NAMES.normalize(kind, data.draw(fields_of(kind, VALUES)))

    assert NAMES.normalize(kind, normalized) == normalized


@settings(max_examples=300)
@given(st.data(), st.sampled_from(KINDS))
def test_written_fields_are_read_back_as_normalized(data: st.DataObject, kind: Kind) -> None:
    fields = data.draw(fields_of(kind, VALUES))
    shaped = NAMES.normalize(kind, fields)

    read = NAMES.deserialize_record(kind, to_stored(NAMES.serialize_fields(kind, fields), kind))

    assert {name: read[name] for name in shaped} == shaped
    assert not any(value for name, value in read.items() if name not in shaped)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(KINDS))
def test_import_cells_hold_the_same_as_values(data: st.DataObject, kind: Kind) -> None:
    fields = data.draw(fields_of(kind, VALUES))
    values, cells = NAMES.serialize_fields(kind, fields), NAMES.serialize_cells(kind, fields)

    assert all(isinstance(cell, str) for cell in cells.values())
    assert {name for name, cell in cells.items() if cell} == {
        name for name, value in values.items() if value
    }
    assert all(cells[name] == value for name, value in values.items() if type(value) is str)


@given(st.text(), st.text())
def test_an_external_id_is_unique_per_key_and_has_no_blanks(key: str, other_key: str) -> None:
    first, second = build_external_id("task", key), build_external_id("task", other_key)

    assert (first == second) == (key == other_key)
    assert re.fullmatch(r"expansion\.task_[\w.~=-]*", first, re.ASCII)


def test_rich_text_loses_only_its_markup() -> None:
    note = "<p>No seat is free &amp; 3 joined</p><p>Ask&nbsp;<b>Ann</b><br>Today</p>"
    record = dict.fromkeys(NAMES.get_names("task").values(), False) | {"note": note}

    notes = NAMES.deserialize_record("task", record)["notes"]

    assert "note" in HTML_FIELDS
    assert notes == "No seat is free & 3 joined\nAsk Ann\nToday"


def test_a_field_can_be_mapped_or_left_out() -> None:
    names = OdooFieldMapping.from_config(
        OdooConfig(fields={"account": {"tier": "x_studio_tier", "note": ""}})
    )

    assert names.serialize_fields("account", {"tier": 1, "note": "x"}) == {"x_studio_tier": 1}
    assert names.normalize("account", {"note": "x", "name": "Acme"}) == {}
    with pytest.raises(SettingsError, match=r"unknown field\(s\) teir"):
        OdooFieldMapping.from_config(OdooConfig(fields={"account": {"teir": "x"}}))


ACCOUNT = ObjectRef("account", "a", "a")
# Recorded errors of Odoo 19.0: status, error class, start of the message.
FAULTS: dict[type[Exception], list[tuple[int, str, str, str]]] = {
    AccessDeniedError: [
        (401, "werkzeug.exceptions.Unauthorized", "Invalid apikey", "API key"),
        (
            403,
            "odoo.exceptions.AccessError",
            "You are not allowed to create 'Fields' (ir.model.fields) records."
            "\n\nThis operation is",
            "not allowed",
        ),
        (404, "werkzeug.exceptions.NotFound", "the model 'crm.lead' does not exist", "crm.lead"),
        (500, "builtins.KeyError", "x_expansion_rank", "expansion crm setup"),
        (
            500,
            "builtins.ValueError",
            "Invalid field 'x_expansion_rank' on 'res.partner'",
            "expansion crm setup",
        ),
    ],
    BatchRejectedError: [
        (
            404,
            "odoo.exceptions.MissingError",
            "Record does not exist or has been deleted.\n(Record: res.partner(999999,), User: 2)",
            "does not exist",
        ),
        (
            422,
            "odoo.exceptions.ValidationError",
            "The operation cannot be completed: Contacts require a name",
            "require a name",
        ),
        (500, "psycopg2.errors.NumericValueOutOfRange", "integer out of range\n", "out of range"),
    ],
    RetryableError: [
        (
            500,
            "psycopg2.errors.SerializationFailure",
            "could not serialize access due to concurrent update\n",
            "serialize",
        ),
        (500, "psycopg2.OperationalError", "server closed the connection", "closed"),
    ],
}


@pytest.mark.parametrize(
    ("error_type", "status", "name", "message", "expected"),
    [(error_type, *fault) for error_type, faults in FAULTS.items() for fault in faults],
)
def test_errors_of_odoo_state_what_to_do(
    error_type: type[Exception], status: int, name: str, message: str, expected: str
) -> None:
    body = {"name": name, "message": message, "arguments": [message], "context": {}, "debug": "…"}
    odoo = open_odoo(lambda _: httpx.Response(status, json=body))

    with pytest.raises(error_type, match=expected) as error:
        odoo.read([ACCOUNT])

    assert "\n" not in str(error.value)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(200, content=b'{"cut": '), RetryableError),
        (httpx.Response(502, text="<html>"), RetryableError),
        (httpx.Response(500, text="<html>"), RetryableError),
        (httpx.Response(303, headers={"Location": "/web/login"}), AccessDeniedError),
        (httpx.Response(404, text="<html>"), AccessDeniedError),
    ],
)
def test_errors_of_a_proxy_are_told_apart(answer: httpx.Response, kind: type[Exception]) -> None:
    odoo = open_odoo(lambda _: answer)

    with pytest.raises(kind):
        odoo.read([ACCOUNT])


def test_retry_after_is_passed_on() -> None:
    odoo = open_odoo(lambda _: httpx.Response(429, headers={"Retry-After": "7"}))

    with pytest.raises(RetryableError) as error:
        odoo.read([ACCOUNT])

    assert error.value.retry_after_seconds == 7


def test_a_lost_connection_is_retryable() -> None:
    def raise_timeout(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out", request=request)

    with pytest.raises(RetryableError, match="did not respond"):
        open_odoo(raise_timeout).read([ACCOUNT])


def reject_load(message: str, *, may: bool = True) -> Responses:
    """Return the responses of an Odoo that rejects every new record."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/load"):
            row = {"rows": {"from": 0, "to": 0}, "record": 0, "type": "error", "message": message}
            return httpx.Response(200, json={"ids": False, "messages": [row], "nextrow": 0})
        if request.url.path.endswith("/has_access"):
            return httpx.Response(200, json=may)
        if request.url.path.endswith("/search"):
            return httpx.Response(200, json=[4])
        return httpx.Response(200, json=[])

    return answer


DEAL = FieldChange(
    ObjectRef("opportunity", "a:seats:1", "a", account_crm_id="6"), {"name": "A: seats"}
)


@pytest.mark.parametrize(
    ("message", "may", "kind"),
    [
        (
            "'soon' does not seem to be a valid date for field 'Expected Closing'",
            True,
            BatchRejectedError,
        ),
        ("You are not allowed to create 'Lead' (crm.lead) records.", False, AccessDeniedError),
        ("could not serialize access due to concurrent update\n", True, RetryableError),
        ("current transaction is aborted, commands ignored until end", True, RetryableError),
    ],
)
def test_a_load_that_fails_with_status_200_raises_the_right_error(
    message: str, may: bool, kind: type[Exception]
) -> None:
    odoo = open_odoo(reject_load(message, may=may))

    with pytest.raises(kind):
        odoo.write([DEAL])


def test_rows_without_a_valid_parent_or_id_are_rejected_without_a_request() -> None:
    odoo = open_odoo(reject_load("never asked"))
    orphan = FieldChange(ObjectRef("opportunity", "a:seats:1", "a"), {"name": "A: seats"})
    strange = FieldChange(ObjectRef("account", "a", "a", crm_id="00Q5e"), {"rank": 1})

    assert isinstance(odoo.write([orphan])[0], Rejected)
    assert isinstance(odoo.write([strange])[0], Rejected)


def test_existing_records_are_updated_in_one_call() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=[{"id": 6}, {"id": 7}])

    first = ObjectRef("account", "a", "a", crm_id="6")
    second = ObjectRef("account", "b", "b", crm_id="7")
    responses = open_odoo(answer).write(
        [
            FieldChange(first, {"probability": 0.684, "note": None}),
            FieldChange(second, {"in_weekly_capacity": True}),
        ]
    )

    (request,) = seen
    assert responses == [Applied("6"), Applied("7")]
    assert request.url == "http://odoo.test/json/2/res.partner/web_save_multi"
    assert request.headers["X-Odoo-Database"] == "crm"
    assert request.headers["Authorization"] == f"bearer {SECRET}"
    assert json.loads(request.content) == {
        "ids": [6, 7],
        "vals_list": [
            {"x_expansion_probability": 0.684, "x_expansion_note": False},
            {"x_expansion_in_weekly_capacity": True},
        ],
        "specification": {},
    }


def test_a_new_opportunity_is_no_human_touch() -> None:
    started = {
        "id": 1,
        "x_expansion_account_id": "begun",
        "create_date": "2026-06-01 05:00:03",
        "date_last_stage_update": "2026-06-01 05:00:03",
        "date_closed": False,
        "won_status": "pending",
        "stage_id": [1, "New"],
    }
    moved = {
        **started,
        "id": 2,
        "x_expansion_account_id": "moved",
        "date_last_stage_update": "2026-06-02 08:00:00",
        "stage_id": [2, "Qualified"],
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[started, moved] if "crm.lead" in request.url.path else [])

    assert open_odoo(answer).fetch_human_touches(date(2026, 6, 1)) == [
        HumanTouch("moved", date(2026, 6, 2), "opportunity moved to Qualified")
    ]


def write_config(folder: Path, key: str) -> Path:
    file = folder / "expansion.toml"
    file.write_text(
        f'[crm]\nname = "odoo"\n[crm.odoo]\nurl = "https://odoo.test"\napi_key = "{key}"'
    )
    return file


def test_the_api_key_comes_from_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    settings = load_settings(write_config(tmp_path, "${ODOO_API_KEY}"), {"ODOO_API_KEY": SECRET})

    opened_by_settings = create_target(settings)

    assert SECRET not in f"{settings!r} {settings.crm!r} {settings.model_dump_json()}"
    assert SECRET not in repr(opened_by_settings)
    opened_by_settings.close()
    with pytest.raises(SettingsError, match="hold api_key in plain text"):
        load_settings(write_config(tmp_path, SECRET), {})


def test_without_a_url_the_error_states_the_missing_settings() -> None:
    with pytest.raises(SettingsError, match="expected url and api_key"):
        create_target(Settings())


def test_every_field_is_mapped_to_its_own_name() -> None:
    for kind in KINDS:
        names = list(NAMES.get_names(kind).values())

        assert len(names) == len(set(names))
        assert MODELS[kind]
        left_out = set(FIELDS[kind]) - set(NAMES.fields[kind])
        assert left_out == ({"name", "csm"} if kind == "account" else set())


@given(st.text())
def test_notes_are_escaped(text: str) -> None:
    sent = NAMES.serialize_fields("task", {"notes": text})["note"] or ""

    text_only = re.sub(r"</?p>", "", sent)
    assert "<" not in text_only
    assert html.unescape(text_only).replace(" ", "") == "".join(
        line for line in str(NAMES.normalize("task", {"notes": text})["notes"] or "").split("\n")
    ).replace(" ", "")

"""Odoo as a target, with answers that a real Odoo 19 gave; tests/odoo holds it to the real one."""

import html
import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

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

NAMES = OdooFieldMapping.from_config({}, create_partners=False)
SECRET = "9f1c0ffee"  # noqa: S105 - made up
Answers = Callable[[httpx.Request], httpx.Response]

_VALUES = {
    "text": st.text(),
    "lines": st.text(),
    "number": st.floats(-1e9, 1e9, allow_nan=False),
    "whole": st.integers(-(2**31), 2**31 - 1),
    "day": st.dates().map(date.isoformat),
    "flag": st.booleans(),
}


def opened(answers: Answers, **options: Any) -> OdooTarget:
    transport = httpx.MockTransport(answers)
    client = OdooClient("http://odoo.test", "crm", SECRET, transport=transport)
    return OdooTarget(client, NAMES, **options)


def fields_of(kind: Kind) -> st.SearchStrategy[dict[str, Any]]:
    known = FIELDS[kind]
    return st.fixed_dictionaries(
        {}, optional={name: st.none() | _VALUES[field.type] for name, field in known.items()}
    )


def stored(sent: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """What Odoo keeps of a write, and gives back: 0 and false where nothing was set."""
    kept = dict.fromkeys(NAMES.fields[kind].values(), False) | sent
    return {name: 0 if value is None else value for name, value in kept.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_shaping_twice_changes_nothing_more(kind: Kind) -> None:
    @given(fields_of(kind))
    def law(fields: dict[str, Any]) -> None:
        once = NAMES.normalize(kind, fields)

        assert NAMES.normalize(kind, once) == once

    law()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_reads_back_as_it_was_shaped(kind: Kind) -> None:
    @given(fields_of(kind))
    def law(fields: dict[str, Any]) -> None:
        shaped = NAMES.normalize(kind, fields)

        read = NAMES.deserialize_record(kind, stored(NAMES.serialize_fields(kind, fields), kind))

        assert {name: read[name] for name in shaped} == shaped
        assert not any(value for name, value in read.items() if name not in shaped)

    law()


@pytest.mark.parametrize("kind", KINDS)
def test_a_spreadsheets_cells_say_what_values_say(kind: Kind) -> None:
    @given(fields_of(kind))
    def law(fields: dict[str, Any]) -> None:
        values, cells = NAMES.serialize_fields(kind, fields), NAMES.serialize_cells(kind, fields)

        assert all(isinstance(cell, str) for cell in cells.values())
        assert {name for name, cell in cells.items() if cell} == {
            name for name, value in values.items() if value
        }
        assert all(cells[name] == value for name, value in values.items() if type(value) is str)

    law()


@given(st.text(), st.text())
def test_an_external_id_names_one_key_and_holds_no_blank(one: str, other: str) -> None:
    first, second = build_external_id("task", one), build_external_id("task", other)

    assert (first == second) == (one == other)
    assert re.fullmatch(r"expansion\.task_[\w.~=-]*", first, re.ASCII)


def test_rich_text_loses_its_markup_and_nothing_else() -> None:
    note = "<p>No seat is free &amp; 3 joined</p><p>Ask&nbsp;<b>Ann</b><br>Today</p>"
    record = dict.fromkeys(NAMES.fields["task"].values(), False) | {"note": note}

    notes = NAMES.deserialize_record("task", record)["notes"]

    assert "note" in HTML_FIELDS
    assert notes == "No seat is free & 3 joined\nAsk Ann\nToday"


def test_another_field_can_carry_ours_or_none_can() -> None:
    names = OdooFieldMapping.from_config(
        {"account": {"tier": "x_studio_tier", "note": ""}}, create_partners=False
    )

    assert names.serialize_fields("account", {"tier": 1, "note": "x"}) == {"x_studio_tier": 1}
    assert names.normalize("account", {"note": "x", "name": "Acme"}) == {}
    with pytest.raises(SettingsError, match="we have no teir"):
        OdooFieldMapping.from_config({"account": {"teir": "x"}}, create_partners=False)


# What Odoo 19.0 answered: status, its class of error, the first words of its message.
FAULTS = [
    (401, "werkzeug.exceptions.Unauthorized", "Invalid apikey", AccessDeniedError, "API key"),
    (
        403,
        "odoo.exceptions.AccessError",
        "You are not allowed to create 'Fields' (ir.model.fields) records.\n\nThis operation is",
        AccessDeniedError,
        "not allowed",
    ),
    (
        404,
        "werkzeug.exceptions.NotFound",
        "the model 'crm.lead' does not exist",
        AccessDeniedError,
        "crm.lead",
    ),
    (500, "builtins.KeyError", "x_expansion_rank", AccessDeniedError, "expansion crm setup"),
    (
        500,
        "builtins.ValueError",
        "Invalid field 'x_expansion_rank' on 'res.partner'",
        AccessDeniedError,
        "expansion crm setup",
    ),
    (
        404,
        "odoo.exceptions.MissingError",
        "Record does not exist or has been deleted.\n(Record: res.partner(999999,), User: 2)",
        BatchRejectedError,
        "does not exist",
    ),
    (
        422,
        "odoo.exceptions.ValidationError",
        "The operation cannot be completed: Contacts require a name",
        BatchRejectedError,
        "require a name",
    ),
    (
        500,
        "psycopg2.errors.NumericValueOutOfRange",
        "integer out of range\n",
        BatchRejectedError,
        "out of range",
    ),
    (
        500,
        "psycopg2.errors.SerializationFailure",
        "could not serialize access due to concurrent update\n",
        RetryableError,
        "serialize",
    ),
    (500, "psycopg2.OperationalError", "server closed the connection", RetryableError, "closed"),
]


@pytest.mark.parametrize(("status", "name", "message", "kind", "words"), FAULTS)
def test_odoos_faults_say_what_to_do(
    status: int, name: str, message: str, kind: type[Exception], words: str
) -> None:
    told = {"name": name, "message": message, "arguments": [message], "context": {}, "debug": "…"}
    odoo = opened(lambda _: httpx.Response(status, json=told))

    with pytest.raises(kind, match=words) as raised:
        odoo.read([ObjectRef("account", "a", "a")])

    assert "\n" not in str(raised.value)
    assert SECRET not in str(raised.value)


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
def test_whatever_stands_before_odoo_is_told_apart(
    answer: httpx.Response, kind: type[Exception]
) -> None:
    odoo = opened(lambda _: answer)

    with pytest.raises(kind):
        odoo.read([ObjectRef("account", "a", "a")])


def test_a_server_that_asks_for_time_gets_it() -> None:
    odoo = opened(lambda _: httpx.Response(429, headers={"Retry-After": "7"}))

    with pytest.raises(RetryableError) as raised:
        odoo.read([ObjectRef("account", "a", "a")])

    assert raised.value.retry_after_seconds == 7


def test_a_lost_connection_may_work_later() -> None:
    def lost(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("timed out", request=request)

    with pytest.raises(RetryableError, match="did not answer"):
        opened(lost).read([ObjectRef("account", "a", "a")])


def loading(message: str, *, may: bool = True) -> Answers:
    """An Odoo that takes no new record."""

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
def test_a_load_that_takes_nothing_says_why_though_it_answers_200(
    message: str, may: bool, kind: type[Exception]
) -> None:
    odoo = opened(loading(message, may=may))

    with pytest.raises(kind):
        odoo.write([DEAL])


def test_rows_that_nobody_could_take_are_refused_without_asking() -> None:
    odoo = opened(loading("never asked"))
    orphan = FieldChange(ObjectRef("opportunity", "a:seats:1", "a"), {"name": "A: seats"})
    strange = FieldChange(ObjectRef("account", "a", "a", crm_id="00Q5e"), {"rank": 1})

    assert isinstance(odoo.write([orphan])[0], Rejected)
    assert isinstance(odoo.write([strange])[0], Rejected)


def test_values_of_what_exists_go_out_in_one_call() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=[{"id": 6}, {"id": 7}])

    answers = opened(answer).write(
        [
            FieldChange(
                ObjectRef("account", "a", "a", crm_id="6"), {"probability": 0.684, "note": None}
            ),
            FieldChange(ObjectRef("account", "b", "b", crm_id="7"), {"this_week": True}),
        ]
    )

    (request,) = seen
    assert answers == [Applied("6"), Applied("7")]
    assert request.url == "http://odoo.test/json/2/res.partner/web_save_multi"
    assert request.headers["X-Odoo-Database"] == "crm"
    assert request.headers["Authorization"] == f"bearer {SECRET}"
    assert json.loads(request.content) == {
        "ids": [6, 7],
        "vals_list": [
            {"x_expansion_probability": 0.684, "x_expansion_note": False},
            {"x_expansion_this_week": True},
        ],
        "specification": {},
    }


def test_an_opportunity_that_only_begins_was_not_worked() -> None:
    begun = {
        "id": 1,
        "x_expansion_account_id": "begun",
        "create_date": "2026-06-01 05:00:03",
        "date_last_stage_update": "2026-06-01 05:00:03",
        "date_closed": False,
        "won_status": "pending",
        "stage_id": [1, "New"],
    }
    moved = {
        **begun,
        "id": 2,
        "x_expansion_account_id": "moved",
        "date_last_stage_update": "2026-06-02 08:00:00",
        "stage_id": [2, "Qualified"],
    }

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[begun, moved] if "crm.lead" in request.url.path else [])

    assert opened(answer).fetch_human_touches(date(2026, 6, 1)) == [
        HumanTouch("moved", date(2026, 6, 2), "opportunity moved to Qualified")
    ]


def written(folder: Path, key: str) -> Path:
    file = folder / "expansion.toml"
    file.write_text(
        f'[crm]\nname = "odoo"\n[crm.odoo]\nurl = "https://odoo.test"\napi_key = "{key}"'
    )
    return file


def test_the_key_comes_from_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, "${ODOO_API_KEY}"), {"ODOO_API_KEY": SECRET})

    opened_by_settings = create_target(settings)

    assert SECRET not in f"{settings!r} {settings.crm!r} {settings.model_dump_json()}"
    assert SECRET not in repr(opened_by_settings)
    opened_by_settings.close()
    with pytest.raises(SettingsError, match="hold api_key in the clear"):
        load_settings(written(tmp_path, SECRET), {})


def test_without_an_address_we_say_what_to_write() -> None:
    with pytest.raises(SettingsError, match="expected url and api_key"):
        create_target(Settings())


def test_every_field_has_a_place_and_a_name_of_its_own() -> None:
    for kind in KINDS:
        theirs = list(NAMES.fields[kind].values())

        assert len(theirs) == len(set(theirs))
        assert MODELS[kind]
        left_out = set(FIELDS[kind]) - set(NAMES.fields[kind])
        assert left_out == ({"name", "csm"} if kind == "account" else set())


@given(st.text())
def test_notes_are_escaped(text: str) -> None:
    sent = NAMES.serialize_fields("task", {"notes": text})["note"] or ""

    bare = re.sub(r"</?p>", "", sent)
    assert "<" not in bare
    assert html.unescape(bare).replace(" ", "") == "".join(
        line for line in str(NAMES.normalize("task", {"notes": text})["notes"] or "").split("\n")
    ).replace(" ", "")

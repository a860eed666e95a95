"""Every address under requests that nobody would send: no 5xx, and nothing of another book."""

from collections.abc import Iterator
from urllib.parse import quote, quote_from_bytes

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from web_office import SIGNED_IN, TOKENS, Office, office

from serving.web import app

pytestmark = pytest.mark.slow

EXAMPLES = 300  # of every address


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    rules = {**SIGNED_IN, "webhook_requests_per_minute": 10_000_000}
    with office(tmp_path_factory.mktemp("fuzz"), web=rules, hooks=True) as opened:
        yield opened


def schema_of(opened: Office) -> schemathesis.BaseSchema:
    made = app.create_app(opened.settings, opened.engine, clock=lambda: None)
    return schemathesis.openapi.from_dict(made.openapi())


def test_no_request_of_the_schema_breaks_it(closed: Office) -> None:
    strangers = [row["account_id"] for row in closed.rows if row["csm"] != "Ada"]
    ada = {"Authorization": f"Bearer {TOKENS['Ada']}"}
    base = str(closed.browser.base_url)
    asked = 0
    for result in schema_of(closed).get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy() | _negative(operation))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        def tried(case: schemathesis.Case) -> None:
            nonlocal asked
            answer = case.call(base_url=base, headers=ada)
            asked += 1
            assert answer.status_code < 500, (case.as_curl_command(), answer.text[:300])
            assert not [each for each in strangers if each in answer.text]

        tried()
    assert asked > 10 * EXAMPLES / 2


def _negative(operation: schemathesis.APIOperation) -> st.SearchStrategy[schemathesis.Case]:
    negative: st.SearchStrategy[schemathesis.Case] = operation.as_strategy(
        generation_mode=schemathesis.GenerationMode.NEGATIVE
    )
    return negative


def test_no_noise_breaks_it(closed: Office) -> None:
    ada = {"Authorization": f"Bearer {TOKENS['Ada']}", "Content-Type": "application/json"}
    methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"]

    @given(
        method=st.sampled_from(methods),
        path=st.text(st.characters(codec="utf-8"), max_size=60),
        query=st.binary(max_size=200),
        body=st.binary(max_size=2000),
    )
    @settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
    def tried(method: str, path: str, query: bytes, body: bytes) -> None:
        place = f"/{quote(path)}?".encode() + quote_from_bytes(query, safe="&=").encode()
        url = closed.browser.base_url.copy_with(raw_path=place)

        answer = closed.browser.request(method, url, content=body, headers=ada)

        assert answer.status_code < 500, (method, url, answer.text[:300])

    tried()


def test_deep_and_large_bodies_break_nothing(closed: Office) -> None:
    bodies = [b"[" * 400_000, b'{"a":' * 80_000, b"x" * 30_000_000, b"\x00" * 1000]
    for path in ("/webhooks/segment", "/webhooks/generic", "/account?id=acc_00000", "/sign-in"):
        for body in bodies:
            try:
                code = closed.browser.post(path, content=body).status_code
            except (httpx.WriteError, httpx.ReadError):  # it hung up on us: well done
                continue
            assert 400 <= code < 500, (path, body[:10])
    assert closed.browser.get("/health").status_code == 200

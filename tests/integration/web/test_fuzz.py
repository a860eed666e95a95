"""Fuzzing of every route: no 5xx, and no data of another portfolio."""

from collections.abc import Iterator
from urllib.parse import quote, quote_from_bytes

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from serving.web import app
from tests.integration.web.web_client import TOKEN_SETTINGS, TOKENS, WebFixture, open_web_fixture

pytestmark = pytest.mark.slow

EXAMPLES = 300  # per route


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebFixture]:
    rules = {**TOKEN_SETTINGS, "webhook_requests_per_minute": 10_000_000}
    with open_web_fixture(tmp_path_factory.mktemp("fuzz"), web=rules, with_webhooks=True) as opened:
        yield opened


def schema_of(opened: WebFixture) -> schemathesis.BaseSchema:
    web_app = app.create_app(opened.settings, opened.engine, clock=lambda: None)
    return schemathesis.openapi.from_dict(web_app.openapi())


def test_no_schema_based_request_causes_a_5xx(closed: WebFixture) -> None:
    strangers = [row["account_id"] for row in closed.rows if row["csm"] != "Ada"]
    ada = {"Authorization": f"Bearer {TOKENS['Ada']}"}
    base = str(closed.client.base_url)
    requests = 0
    for result in schema_of(closed).get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy() | _negative(operation))
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        )
        def run_case(case: schemathesis.Case) -> None:
            nonlocal requests
            response = case.call(base_url=base, headers=ada)
            requests += 1
            assert response.status_code < 500, (case.as_curl_command(), response.text[:300])
            assert not [each for each in strangers if each in response.text]

        run_case()
    assert requests > 10 * EXAMPLES / 2


def _negative(operation: schemathesis.APIOperation) -> st.SearchStrategy[schemathesis.Case]:
    negative: st.SearchStrategy[schemathesis.Case] = operation.as_strategy(
        generation_mode=schemathesis.GenerationMode.NEGATIVE
    )
    return negative


def test_no_random_request_causes_a_5xx(closed: WebFixture) -> None:
    ada = {"Authorization": f"Bearer {TOKENS['Ada']}", "Content-Type": "application/json"}
    methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"]

    @given(
        method=st.sampled_from(methods),
        path=st.text(st.characters(codec="utf-8"), max_size=60),
        query=st.binary(max_size=200),
        body=st.binary(max_size=2000),
    )
    @settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))
    def run_case(method: str, path: str, query: bytes, body: bytes) -> None:
        raw_path = f"/{quote(path)}?".encode() + quote_from_bytes(query, safe="&=").encode()
        url = closed.client.base_url.copy_with(raw_path=raw_path)

        response = closed.client.request(method, url, content=body, headers=ada)

        assert response.status_code < 500, (method, url, response.text[:300])

    run_case()


def test_deep_and_large_bodies_are_rejected(closed: WebFixture) -> None:
    bodies = [b"[" * 400_000, b'{"a":' * 80_000, b"x" * 30_000_000, b"\x00" * 1000]
    for path in ("/webhooks/segment", "/webhooks/generic", "/account?id=acc_00000", "/sign-in"):
        for body in bodies:
            try:
                code = closed.client.post(path, content=body).status_code
            except (
                httpx.WriteError,
                httpx.ReadError,
            ):  # the server closed the connection, which is fine
                continue
            assert 400 <= code < 500, (path, body[:10])
    assert closed.client.get("/health").status_code == 200

"""Salesforce REST API client: ``simple-salesforce`` with timeouts, re-login and a daily limit.

Status codes are mapped as in the *REST API Developer Guide*, "Status Codes and Error Responses".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias
from urllib.parse import quote_plus

import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce as Api
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError
from simple_salesforce.format import format_soql
from simple_salesforce.login import token_login

from data.config.delivery import SalesforceConfig
from serving.delivery.crm.base import (
    AccessDeniedError,
    BatchRejectedError,
    RetryableError,
    describe_exception,
    parse_retry_after,
)
from serving.delivery.crm.salesforce.errors import is_session_expired, to_error

__all__ = ["API_VERSION", "Record", "SalesforceClient", "build_query", "equals", "in_list"]

Record: TypeAlias = Mapping[str, Any]
API_VERSION: Final = "62.0"
_TIMEOUT_SECONDS: Final = 120.0
_CONNECT_TIMEOUT_SECONDS: Final = 10.0
# URL and headers are limited to 16,384 bytes; longer queries are sent in a body.
_MAX_QUERY_LENGTH: Final = 8_000
# Do not trigger assignment rules.
_HEADERS: Final = {"Sforce-Auto-Assign": "FALSE", "X-PrettyPrint": "0"}


class SalesforceClient:
    """Client for one org; logs in on first use, and once more when the session has expired.

    It stops at ``daily_share`` of the org's daily API requests. The secrets are never printed.
    """

    def __init__(
        self, config: SalesforceConfig, *, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        self.url = (config.instance_url or "").rstrip("/")
        self._config = config
        self._session = requests.Session()
        adapter = _TimeoutAdapter((_CONNECT_TIMEOUT_SECONDS, timeout_seconds))
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.hooks["response"].append(self._record_limits)
        self._api: Api | None = None
        self._daily_usage: tuple[int, int] | None = None
        self._retry_after: float | None = None

    def __repr__(self) -> str:
        return f"SalesforceClient({self.url!r}, version={API_VERSION})"

    def query(self, soql: str) -> list[Record]:
        """Return all records of a SOQL query, over all pages."""
        if len(quote_plus(soql)) > _MAX_QUERY_LENGTH:
            page = self._query_by_composite(soql)
        else:
            page = self._request_read("GET", "query", params={"q": soql})
        records = list(page["records"])
        while not page["done"]:
            _, path = page["nextRecordsUrl"].split(f"/v{API_VERSION}/", 1)
            page = self._request_read("GET", path)
            records += page["records"]
        return records

    def retrieve(
        self, sobject: str, ids: Sequence[str], fields: Sequence[str]
    ) -> list[Record | None]:
        """Return records by id, in order; None for those that do not exist or are not visible."""
        body = {"ids": list(ids), "fields": list(fields)}
        return list(self._request_read("POST", f"composite/sobjects/{sobject}", json=body) or [])

    def update(self, records: Sequence[Record]) -> list[Record]:
        """Update records by ``id``, and return a result for each, in order."""
        return self._write_collection("composite/sobjects", records)

    def upsert(self, sobject: str, key: str, records: Sequence[Record]) -> list[Record]:
        """Upsert records by external id, and return a result for each, in order."""
        return self._write_collection(f"composite/sobjects/{sobject}/{key}", records)

    def request(self, method: str, path: str, **arguments: Any) -> Any:  # noqa: ANN401 - any JSON
        """Send one request and return the JSON of its response.

        Raises
        ------
        serving.delivery.crm.base.RetryableError
            If the request may succeed later.
        serving.delivery.crm.base.AccessDeniedError
            If access is denied, or the daily limit is reached.
        serving.delivery.crm.base.BatchRejectedError
            If the whole request is rejected.
        """
        self._check_daily_limit()
        try:
            return self._send_request(method, path, arguments)
        except SalesforceError as error:
            if not is_session_expired(error) or self._config.access_token:
                raise to_error(error, self._retry_after) from error
        self._api = None  # the session has expired
        try:
            return self._send_request(method, path, arguments)
        except SalesforceError as error:
            raise to_error(error, self._retry_after) from error

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _request_read(self, method: str, path: str, **arguments: Any) -> Any:  # noqa: ANN401 - any JSON
        """Send a read-only request; it has no rows to reject, so a rejection is a denial."""
        try:
            return self.request(method, path, **arguments)
        except BatchRejectedError as error:
            raise AccessDeniedError(f"Salesforce rejects the request: {error}") from error

    def _send_request(self, method: str, path: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
        try:
            api = self._ensure_session()
            return api.restful(path, method=method, headers=_HEADERS, **arguments)
        except requests.exceptions.SSLError as error:
            raise AccessDeniedError(
                f"TLS verification of {self.url} failed: {describe_exception(error)}"
            ) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise AccessDeniedError(
                f"{self.url} is not a valid URL; fix crm.salesforce.instance_url"
            ) from error
        except (requests.RequestException, ValueError) as error:  # connection lost, or invalid JSON
            raise RetryableError(
                f"{self.url} did not respond: {describe_exception(error)}"
            ) from error

    def _ensure_session(self) -> Api:
        if self._api is None:
            self._api = Api(
                session_id=_reveal(self._config.access_token) or self._fetch_token(),
                instance_url=self.url,
                version=API_VERSION,
                session=self._session,
                object_pairs_hook=dict,
            )
            self._api.base_url = f"{self.url}/services/data/v{API_VERSION}/"
        return self._api

    def _fetch_token(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": _reveal(self._config.client_id),
            "client_secret": _reveal(self._config.client_secret),
        }
        token_url = f"{self.url}/services/oauth2/token"
        try:
            token, _ = token_login(token_url, form, self.url, "", None, None, self._session)
        except SalesforceAuthenticationFailed as error:
            raise _to_login_error(error) from None
        return str(token)

    def _query_by_composite(self, soql: str) -> Any:  # noqa: ANN401 - any JSON
        """Send a query that is too long for a URL, as a composite subrequest."""
        url = f"/services/data/v{API_VERSION}/query?q={quote_plus(soql)}"
        body = {"compositeRequest": [{"method": "GET", "url": url, "referenceId": "rows"}]}
        response = self._request_read("POST", "composite", json=body)["compositeResponse"][0]
        status = response["httpStatusCode"]
        if status >= 300:
            error = SalesforceError(
                url="query", status=status, resource_name="", content=response["body"]
            )
            raise to_error(error, self._retry_after)
        return response["body"]

    def _write_collection(self, path: str, records: Sequence[Record]) -> list[Record]:
        body = {"allOrNone": False, "records": list(records)}
        return list(self.request("PATCH", path, json=body) or [])

    def _record_limits(self, response: requests.Response, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Record the daily API usage and ``Retry-After`` from the response headers."""
        limits = Api.parse_api_usage(response.headers.get("Sforce-Limit-Info", ""))
        if usage := limits.get("api-usage"):
            self._daily_usage = (usage.used, usage.total)
        self._retry_after = parse_retry_after(response.headers.get("Retry-After"))

    def _check_daily_limit(self) -> None:
        if self._daily_usage is None:
            return
        used, total = self._daily_usage
        share = self._config.daily_share
        if used >= share * total:
            raise AccessDeniedError(
                f"{used:,} of {total:,} API requests of the last 24 hours are used; this client"
                f" stops at {share:.0%} of them (crm.salesforce.daily_share); the next"
                " run continues"
            )


class _TimeoutAdapter(HTTPAdapter):
    """HTTP adapter with connect and read timeouts and no retries."""

    def __init__(self, timeout: tuple[float, float]) -> None:
        super().__init__(max_retries=0)
        self._timeout = timeout

    def send(self, request: Any, **arguments: Any) -> requests.Response:  # type: ignore[override] # noqa: ANN401
        return super().send(request, **{**arguments, "timeout": self._timeout})


def _to_login_error(error: SalesforceAuthenticationFailed) -> Exception:
    reason = error.auth_message or "no reason given"
    if isinstance(error.code, int):  # not JSON: not a response of the login endpoint
        if error.code >= 500:
            return RetryableError(f"Salesforce login responded with status {error.code}")
        return AccessDeniedError(
            f"expected the Salesforce login, found status {error.code}; fix"
            " crm.salesforce.instance_url"
        )
    if error.code in {"unknown_error", "server_error", "temporarily_unavailable"}:
        return RetryableError(f"Salesforce login failed: {reason}")
    return AccessDeniedError(
        f"Salesforce denies the login ({error.code}: {reason}); check the client id and secret, and"
        " that the connected app allows the client credentials flow and has a run-as user"
    )


def _reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def build_query(fields: Sequence[str], sobject: str, *conditions: str, end: str = "") -> str:
    r"""Build a SOQL SELECT statement; conditions are joined by AND.

    Examples
    --------
    >>> build_query(["Id"], "Task", equals("Status", "It's done"), in_list("Id", ["a", "b"]))
    "SELECT Id FROM Task WHERE Status = 'It\\'s done' AND Id IN ('a','b')"
    """
    where = ["WHERE", " AND ".join(conditions)] if conditions else []
    return " ".join(["SELECT", ", ".join(fields), "FROM", sobject, *where, end]).rstrip()


def equals(field: str, value: str) -> str:
    """Build an equality condition."""
    return field + format_soql(" = {}", value)


def in_list(field: str, values: Sequence[str]) -> str:
    """Build an IN condition."""
    return field + format_soql(" IN {}", list(values))

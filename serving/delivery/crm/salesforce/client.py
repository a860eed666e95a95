"""Salesforce REST API client: ``simple-salesforce`` with timeouts, re-login and a daily limit.

Status codes are mapped as in the *REST API Developer Guide*, "Status Codes and Error Responses".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import quote_plus

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce as Api
from simple_salesforce.exceptions import SalesforceAuthenticationFailed, SalesforceError
from simple_salesforce.login import token_login

from serving.delivery.crm.base import AccessDeniedError, BatchRejectedError, RetryableError
from serving.delivery.crm.salesforce.errors import is_session_expired, to_error

__all__ = ["Record", "SalesforceClient", "SalesforceCredentials"]

Record: TypeAlias = Mapping[str, Any]
_API_VERSION: Final = "62.0"
_TIMEOUT_SECONDS: Final = 120.0
_CONNECT_TIMEOUT_SECONDS: Final = 10.0
# URL and headers are limited to 16,384 bytes; longer queries are sent in a body.
_MAX_QUERY_LENGTH: Final = 8_000
# Do not trigger assignment rules.
_HEADERS: Final = {"Sforce-Auto-Assign": "FALSE", "X-PrettyPrint": "0"}


@dataclass(frozen=True)
class SalesforceCredentials:
    """Credentials: client id and secret, or an access token.

    Attributes
    ----------
    url : str
        The org's My Domain URL, such as ``https://acme.my.salesforce.com``.
    """

    url: str
    client_id: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


class SalesforceClient:
    """Client for one org; logs in on first use, and once more when the session has expired.

    Parameters
    ----------
    credentials : SalesforceCredentials
        Client credentials or access token.
    version : str
        API version, such as ``62.0``.
    daily_share : float
        Share of the org's daily API requests at which this client stops.
    timeout_seconds : float
        Timeout of one request.
    """

    def __init__(
        self,
        credentials: SalesforceCredentials,
        *,
        version: str = _API_VERSION,
        daily_share: float = 0.5,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        self.url, self.version = credentials.url.rstrip("/"), version
        self._credentials, self._daily_share = credentials, daily_share
        self._session = requests.Session()
        adapter = _TimeoutAdapter((_CONNECT_TIMEOUT_SECONDS, timeout_seconds))
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.hooks["response"].append(self._record_limits)
        self._api: Api | None = None
        self._daily_usage: tuple[int, int] | None = None
        self._retry_after: float | None = None

    def __repr__(self) -> str:
        return f"SalesforceClient({self.url!r}, version={self.version})"

    def query(self, soql: str) -> list[Record]:
        """Return all records of a SOQL query, over all pages."""
        if len(quote_plus(soql)) > _MAX_QUERY_LENGTH:
            page = self._query_by_composite(soql)
        else:
            page = self._request_read("GET", "query", params={"q": soql})
        records = list(page["records"])
        while not page["done"]:
            page = self._request_read(
                "GET", page["nextRecordsUrl"].split(f"/v{self.version}/", 1)[1]
            )
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
            if not is_session_expired(error) or self._credentials.token is not None:
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
                f"TLS verification of {self.url} failed: {_describe_exception(error)}"
            ) from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise AccessDeniedError(
                f"{self.url} is not a valid URL; fix crm.salesforce.instance_url"
            ) from error
        except (requests.RequestException, ValueError) as error:  # connection lost, or invalid JSON
            raise RetryableError(
                f"{self.url} did not respond: {_describe_exception(error)}"
            ) from error

    def _ensure_session(self) -> Api:
        if self._api is None:
            token = self._credentials.token or self._fetch_token()
            self._api = Api(
                session_id=token,
                instance_url=self.url,
                version=self.version,
                session=self._session,
                object_pairs_hook=dict,
            )
            self._api.base_url = f"{self.url}/services/data/v{self.version}/"
        return self._api

    def _fetch_token(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self._credentials.client_id,
            "client_secret": self._credentials.client_secret,
        }
        token_url = f"{self.url}/services/oauth2/token"
        try:
            token, _ = token_login(token_url, form, self.url, "", None, None, self._session)
        except SalesforceAuthenticationFailed as error:
            raise _to_login_error(error) from None
        return str(token)

    def _query_by_composite(self, soql: str) -> Any:  # noqa: ANN401 - any JSON
        """Send a query that is too long for a URL, as a composite subrequest."""
        url = f"/services/data/v{self.version}/query?q={quote_plus(soql)}"
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
        retry_after = response.headers.get("Retry-After", "")
        self._retry_after = float(retry_after) if retry_after.isdecimal() else None

    def _check_daily_limit(self) -> None:
        if self._daily_usage is None:
            return
        used, total = self._daily_usage
        if used >= self._daily_share * total:
            raise AccessDeniedError(
                f"{used:,} of {total:,} API requests of the last 24 hours are used; this client"
                f" stops at {self._daily_share:.0%} of them (crm.salesforce.daily_share); the next"
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


def _describe_exception(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0][:300]

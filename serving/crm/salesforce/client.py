"""The wire to Salesforce: its REST API, and what its complaints mean for who wants to send.

The client is ``simple-salesforce``; patience, logging in again and the share of the daily requests
are ours. What Salesforce answers in which case: *REST API Developer Guide*, "Status Codes and Error
Responses".
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

from serving.crm.salesforce.complaints import fault, signed_out
from serving.crm.target import BatchRefused, Denied, Transient

__all__ = ["Client", "Login", "Record"]

Record: TypeAlias = Mapping[str, Any]
_CONNECT_SECONDS: Final = 10.0
# Address and headers together may take 16,384 bytes; what is longer goes in a body.
_LONGEST_QUERY: Final = 8_000
# A weekly list is no reason to hand accounts to other owners.
_HEADERS: Final = {"Sforce-Auto-Assign": "FALSE", "X-PrettyPrint": "0"}


@dataclass(frozen=True)
class Login:
    """How to get in: a client's id and secret, or a token that somebody else has fetched.

    Attributes
    ----------
    url : str
        The org's own address (My Domain), such as ``https://acme.my.salesforce.com``.
    """

    url: str
    client_id: str | None = field(default=None, repr=False)
    client_secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


class Client:
    """Asks one org; logs in when first asked, and once more when the session has run out.

    Parameters
    ----------
    login : Login
        How to get in.
    version : str
        Of the API, such as ``62.0``.
    daily_share : float
        Share of the org's requests of a day after which we ask no more.
    timeout_seconds : float
        For one answer.
    """

    def __init__(
        self,
        login: Login,
        *,
        version: str = "62.0",
        daily_share: float = 0.5,
        timeout_seconds: float = 120.0,
    ) -> None:
        self.url, self.version = login.url.rstrip("/"), version
        self._login, self._daily_share = login, daily_share
        self._session = requests.Session()
        adapter = _Patient((_CONNECT_SECONDS, timeout_seconds))
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.hooks["response"].append(self._heed)
        self._api: Api | None = None
        self._usage: tuple[int, int] | None = None
        self._after: float | None = None

    def __repr__(self) -> str:
        return f"Client({self.url!r}, version={self.version})"

    def query(self, soql: str) -> list[Record]:
        """Give all records of a query, however many pages they take."""
        if len(quote_plus(soql)) > _LONGEST_QUERY:
            page = self._in_a_body(soql)
        else:
            page = self._read("GET", "query", params={"q": soql})
        records = list(page["records"])
        while not page["done"]:
            page = self._read("GET", page["nextRecordsUrl"].split(f"/v{self.version}/", 1)[1])
            records += page["records"]
        return records

    def retrieve(
        self, sobject: str, ids: Sequence[str], fields: Sequence[str]
    ) -> list[Record | None]:
        """Give records by their ids, in that order; None where there is none that we may see."""
        body = {"ids": list(ids), "fields": list(fields)}
        return list(self._read("POST", f"composite/sobjects/{sobject}", json=body) or [])

    def update(self, records: Sequence[Record]) -> list[Record]:
        """Set fields of records that name their ``id``; an outcome for each, in their order."""
        return self._each("composite/sobjects", records)

    def upsert(self, sobject: str, key: str, records: Sequence[Record]) -> list[Record]:
        """Make records under an external id, or set their fields; an outcome for each."""
        return self._each(f"composite/sobjects/{sobject}/{key}", records)

    def ask(self, method: str, path: str, **arguments: Any) -> Any:  # noqa: ANN401 - any JSON
        """Ask once, and give the answer.

        Raises
        ------
        serving.crm.target.Transient
            If it may work later.
        serving.crm.target.Denied
            If we may not, or not today.
        serving.crm.target.BatchRefused
            If what we sent is refused as a whole.
        """
        self._spare()
        try:
            return self._ask(method, path, arguments)
        except SalesforceError as error:
            if not signed_out(error) or self._login.token is not None:
                raise fault(error, self._after) from error
        self._api = None  # the session has run out
        try:
            return self._ask(method, path, arguments)
        except SalesforceError as error:
            raise fault(error, self._after) from error

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def _read(self, method: str, path: str, **arguments: Any) -> Any:  # noqa: ANN401 - any JSON
        """Ask what changes nothing: there is no row in it that could be left out."""
        try:
            return self.ask(method, path, **arguments)
        except BatchRefused as error:
            raise Denied(f"Salesforce does not understand what we ask: {error}") from error

    def _ask(self, method: str, path: str, arguments: dict[str, Any]) -> Any:  # noqa: ANN401
        try:
            api = self._logged_in()
            return api.restful(path, method=method, headers=_HEADERS, **arguments)
        except requests.exceptions.SSLError as error:
            raise Denied(f"{self.url} does not prove who it is: {_plain(error)}") from error
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise Denied(f"{self.url} is no address; mend crm.salesforce.instance_url") from error
        except (requests.RequestException, ValueError) as error:  # cut off, or no JSON
            raise Transient(f"{self.url} did not answer: {_plain(error)}") from error

    def _logged_in(self) -> Api:
        if self._api is None:
            token = self._login.token or self._token()
            self._api = Api(
                session_id=token,
                instance_url=self.url,
                version=self.version,
                session=self._session,
                object_pairs_hook=dict,
            )
            self._api.base_url = f"{self.url}/services/data/v{self.version}/"
        return self._api

    def _token(self) -> str:
        told = {
            "grant_type": "client_credentials",
            "client_id": self._login.client_id,
            "client_secret": self._login.client_secret,
        }
        address = f"{self.url}/services/oauth2/token"
        try:
            token, _ = token_login(address, told, self.url, "", None, None, self._session)
        except SalesforceAuthenticationFailed as error:
            raise _not_let_in(error) from None
        return str(token)

    def _in_a_body(self, soql: str) -> Any:  # noqa: ANN401 - any JSON
        """Ask a query that is too long for an address."""
        url = f"/services/data/v{self.version}/query?q={quote_plus(soql)}"
        body = {"compositeRequest": [{"method": "GET", "url": url, "referenceId": "rows"}]}
        answer = self._read("POST", "composite", json=body)["compositeResponse"][0]
        status = answer["httpStatusCode"]
        if status >= 300:
            error = SalesforceError(
                url="query", status=status, resource_name="", content=answer["body"]
            )
            raise fault(error, self._after)
        return answer["body"]

    def _each(self, path: str, records: Sequence[Record]) -> list[Record]:
        body = {"allOrNone": False, "records": list(records)}
        return list(self.ask("PATCH", path, json=body) or [])

    def _heed(self, response: requests.Response, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Note what the headers tell: how much of the day is used, and when to come back."""
        told = Api.parse_api_usage(response.headers.get("Sforce-Limit-Info", ""))
        if usage := told.get("api-usage"):
            self._usage = (usage.used, usage.total)
        after = response.headers.get("Retry-After", "")
        self._after = float(after) if after.isdecimal() else None

    def _spare(self) -> None:
        if self._usage is None:
            return
        used, total = self._usage
        if used >= self._daily_share * total:
            raise Denied(
                f"{used:,} of the {total:,} requests that Salesforce allows in 24 hours are used,"
                f" and we stop at {self._daily_share:.0%} of them (crm.salesforce.daily_share);"
                " the next run goes on"
            )


class _Patient(HTTPAdapter):
    """Waits so long and no longer; never asks again by itself."""

    def __init__(self, timeout: tuple[float, float]) -> None:
        super().__init__(max_retries=0)
        self._timeout = timeout

    def send(self, request: Any, **arguments: Any) -> requests.Response:  # type: ignore[override] # noqa: ANN401
        return super().send(request, **{**arguments, "timeout": self._timeout})


def _not_let_in(error: SalesforceAuthenticationFailed) -> Exception:
    words = error.auth_message or "no reason given"
    if isinstance(error.code, int):  # not JSON: whoever answered, it was not the login
        if error.code >= 500:
            return Transient(f"Salesforce's login answered {error.code}")
        return Denied(
            f"expected Salesforce's login, found an answer {error.code}; mend"
            " crm.salesforce.instance_url"
        )
    if error.code in {"unknown_error", "server_error", "temporarily_unavailable"}:
        return Transient(f"Salesforce's login: {words}")
    return Denied(
        f"Salesforce does not let us in ({error.code}: {words}); look at the connected app's id and"
        " secret, and that it allows the client credentials flow and names a user to run as"
    )


def _plain(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0][:300]

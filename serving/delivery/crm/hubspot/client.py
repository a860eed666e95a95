"""HubSpot API client: the official SDK with rate limiting and error mapping.

HubSpot documents the fields ``message``, ``category``, ``correlationId`` and ``errors`` of an
error; none of them is guaranteed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final

import urllib3
from hubspot import Client
from hubspot.crm.associations import v4
from hubspot.crm.objects.exceptions import ApiException
from hubspot.crm.owners.exceptions import ApiException as OwnersException
from hubspot.crm.pipelines.exceptions import ApiException as PipelinesException
from hubspot.crm.properties.exceptions import ApiException as PropertiesException
from hubspot.oauth.exceptions import ApiException as OauthException

from serving.delivery.crm.base import (
    AccessDeniedError,
    BatchRejectedError,
    RateLimit,
    RateLimiter,
    RetryableError,
    parse_retry_after,
)

__all__ = [
    "API_URL",
    "TIMEOUT_SECONDS",
    "HubSpotClient",
    "IncompleteResponseError",
    "find_next_page",
    "find_owner",
    "format_error",
    "to_error",
]

API_URL: Final = "https://api.hubapi.com"
TIMEOUT_SECONDS: Final = 30.0
# Each generated part of the SDK has its own exception class.
_API_EXCEPTIONS: Final = (
    ApiException,
    OwnersException,
    PipelinesException,
    PropertiesException,
    OauthException,
    v4.ApiException,
)
_SEARCH_RATE_LIMIT: Final = RateLimit(max_calls=4, window_seconds=1.0)  # HubSpot allows five
_REPLAY_SECONDS: Final = 60.0
_OWNERS_PAGE_SIZE: Final = 500
_TOKEN_INFO_PATH: Final = "/oauth/v2/private-apps/get/access-token-info"  # noqa: S105
_LOCKED, _MIGRATION_IN_PROGRESS, _TOO_MANY_REQUESTS = 423, 477, 429
_POLICY_SECONDS: Final = {"SECONDLY": 1.0, "TEN_SECONDLY_ROLLING": 10.0}  # by policy name
# Configuration errors: every row would be rejected.
_CONFIGURATION_ERRORS: Final = ("PROPERTY_DOESNT_EXIST", "by non-unique", "PIPELINE_DOESNT_EXIST")
_MAX_MESSAGE_LENGTH: Final = 500  # characters of HubSpot's message


class IncompleteResponseError(RetryableError):
    """A response lacks some of its rows; the whole operation starts again."""


class HubSpotClient:
    """Client for the HubSpot APIs that this project uses.

    The token is that of a service key or private app. ``rate_limit`` holds over all endpoints, on
    a monotonic ``clock`` in seconds.
    """

    def __init__(
        self,
        token: str,
        url: str,
        *,
        rate_limit: RateLimit,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # The sender retries, because it knows which calls are idempotent.
        client = Client.create(access_token=token, host=url, retry=False)
        self.objects = client.crm.objects.batch_api
        self.search = client.crm.objects.search_api
        self.associations = client.crm.associations.v4.batch_api
        self.properties = client.crm.properties.core_api
        self.property_batch = client.crm.properties.batch_api
        self.property_groups = client.crm.properties.groups_api
        self.pipelines = client.crm.pipelines.pipelines_api
        self.owners = client.crm.owners.owners_api
        self.rate_limit, self.rate_limit_headers = rate_limit, dict[str, str]()
        self._tokens = client.oauth.tokens_api
        self._token, self._url, self._timeout = token, url, timeout_seconds
        self._clock, self._sleep = clock, sleep
        self._call_limiter = RateLimiter(rate_limit)
        self._search_limiter = RateLimiter(_SEARCH_RATE_LIMIT)
        self._replay = _ResponseReplay()

    def __repr__(self) -> str:
        return f"HubSpotClient({self._url})"

    def request(
        self, endpoint: Callable[..., Any], *args: object, **kwargs: object
    ) -> dict[str, Any]:
        """Call an endpoint of the SDK and return the JSON of its response.

        Raises
        ------
        serving.delivery.crm.base.RetryableError
            If the call may succeed later.
        serving.delivery.crm.base.AccessDeniedError
            If a token, scope or property is missing.
        serving.delivery.crm.base.BatchRejectedError
            If HubSpot rejects the whole call.
        """
        request = (getattr(endpoint, "__qualname__", ""), args, kwargs)
        replayed = self._replay.next_response(request)
        if replayed is not None:
            return replayed
        payload = self._send_request(endpoint, *args, **kwargs)
        self._replay.record_response(request, payload)
        return payload

    def get_token_info(self) -> dict[str, Any]:
        """Return the portal id and scopes of the access token."""
        body = {"tokenKey": self._token}
        endpoint = self._tokens.api_client.call_api
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self._token}"}
        return self.request(endpoint, _TOKEN_INFO_PATH, "POST", {}, [], headers, body=body)

    @cached_property
    def owner_ids(self) -> Mapping[str, str]:
        """Owner ids by lower-case e-mail address or full name, fetched on first use."""
        return self.fetch_owners()

    def fetch_owners(self) -> dict[str, str]:
        """Fetch owner ids; a name shared by two owners is left out."""
        owner_ids: dict[str, str] = {}
        after: str | None = None
        while True:
            page = {"after": after} if after else {}
            response = self.request(
                self.owners.get_page, limit=_OWNERS_PAGE_SIZE, archived=False, **page
            )
            for owner in response["results"]:
                _add_owner(owner_ids, owner)
            after = find_next_page(response)
            if not after:
                return {name: owner for name, owner in owner_ids.items() if owner}

    @contextmanager
    def replay_responses(self, operation: object) -> Iterator[None]:
        """Treat the calls inside as steps of one operation.

        If the same operation is retried after a retryable error, the recorded responses are
        replayed and it resumes at the step that failed.
        """
        self._replay.start_operation(operation, self._clock())
        keeps_responses = False
        try:
            yield
        except RetryableError as error:
            keeps_responses = not isinstance(error, IncompleteResponseError)
            raise
        finally:
            if not keeps_responses:
                self._replay = _ResponseReplay()

    def close(self) -> None:
        """Close the connections; each part of the SDK has its own."""
        objects = (self.objects, self.search, self.associations)
        properties = (self.properties, self.property_batch, self.property_groups)
        for api in (*objects, *properties, self.pipelines, self.owners, self._tokens):
            api.api_client.rest_client.pool_manager.clear()

    def _send_request(
        self, endpoint: Callable[..., Any], *args: object, **kwargs: object
    ) -> dict[str, Any]:
        is_search = endpoint == self.search.do_search
        limiters = [self._call_limiter, self._search_limiter] if is_search else [self._call_limiter]
        for limiter in limiters:
            if (wait_seconds := limiter.compute_wait(self._clock())) > 0:
                self._sleep(wait_seconds)
        try:
            response = endpoint(
                *args, _preload_content=False, _request_timeout=self._timeout, **kwargs
            )
            payload: dict[str, Any] = json.loads(response.data or b"{}")
        except _API_EXCEPTIONS as error:
            headers = dict(error.headers or {})
            raise to_error(int(error.status or 0), headers, error.body or error.reason) from None
        except urllib3.exceptions.HTTPError as error:
            raise RetryableError(f"no response from HubSpot: {type(error).__name__}") from None
        except ValueError:
            raise RetryableError("HubSpot's response was truncated") from None
        finally:
            for limiter in limiters:
                limiter.record_call(self._clock())
        self.rate_limit_headers |= {
            name.lower(): value
            for name, value in response.headers.items()
            if name.lower().startswith("x-hubspot-ratelimit")
        }
        return payload


class _ResponseReplay:
    """Requests and responses recorded for the current operation."""

    def __init__(self) -> None:
        self._operation: object = None
        self._started_at = 0.0
        self._responses: list[tuple[object, dict[str, Any]]] | None = None
        self._position = 0

    def start_operation(self, operation: object, now: float) -> None:
        is_same = self._responses is not None and operation == self._operation
        if not is_same or now - self._started_at > _REPLAY_SECONDS:
            self._operation, self._started_at, self._responses = operation, now, []
        self._position = 0

    def next_response(self, request: object) -> dict[str, Any] | None:
        for index in range(self._position, len(self._responses or ())):
            recorded_request, response = (self._responses or [])[index]
            if recorded_request == request:
                self._position = index + 1
                return response
        return None

    def record_response(self, request: object, response: dict[str, Any]) -> None:
        if self._responses is not None:
            self._responses.append((request, response))
            self._position = len(self._responses)


def find_next_page(payload: Mapping[str, Any]) -> str | None:
    """Return the cursor of the next page, or None on the last one."""
    after = ((payload.get("paging") or {}).get("next") or {}).get("after")
    return str(after) if after else None


def find_owner(owner_ids: Mapping[str, str], csm: str | None) -> str | None:
    """Return the owner id of a CSM, or None.

    Examples
    --------
    >>> find_owner({"ada@acme.com": "7"}, "Ada@acme.com"), find_owner({}, "Ada")
    ('7', None)
    """
    return owner_ids.get(" ".join((csm or "").split()).lower())


def _add_owner(owner_ids: dict[str, str], owner: Mapping[str, Any]) -> None:
    name = f"{owner.get('firstName') or ''} {owner.get('lastName') or ''}".strip().lower()
    email = str(owner.get("email") or "").lower()
    if name:
        owner_ids[name] = "" if name in owner_ids else str(owner["id"])
    if email:
        owner_ids[email] = str(owner["id"])


def to_error(status: int, headers: Mapping[str, str], body: str | None) -> Exception:
    """Convert an unsuccessful response to the matching exception."""
    payload = _parse_body(body)
    message = format_error(payload) or f"status {status}"
    retry_after = parse_retry_after(
        {name.lower(): value for name, value in headers.items()}.get("retry-after")
    )
    if status in {401, 403}:
        return _to_access_denied(status, payload, message)
    if status == _TOO_MANY_REQUESTS:
        return _to_rate_limit_error(payload, retry_after, message)
    if status == _LOCKED:
        return RetryableError(f"locked: {message}", 2.0)
    if status in {_MIGRATION_IN_PROGRESS, 408} or status >= 500:
        return RetryableError(f"HubSpot server error ({status}): {message}", retry_after)
    if status in {0, 404, 405} or any(code in (body or "") for code in _CONFIGURATION_ERRORS):
        return AccessDeniedError(
            f"HubSpot configuration is incomplete: {message} Run: expansion crm check."
        )
    return BatchRejectedError(f"{message} ({status})")


def format_error(payload: Mapping[str, Any]) -> str:
    """Return HubSpot's message with its first details, ending in a full stop."""
    details = [str(error.get("message", "")) for error in payload.get("errors") or []][:3]
    message = str(payload.get("message") or payload.get("category") or "")
    parts = [message, *(detail for detail in details if detail and detail not in message)]
    text = " ".join(" ".join(part.split()).rstrip(".") + "." for part in parts if part)
    return text if len(text) <= _MAX_MESSAGE_LENGTH else text[: _MAX_MESSAGE_LENGTH - 1] + "…"


def _parse_body(body: str | None) -> Mapping[str, Any]:
    try:
        payload = json.loads(body or "{}")
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _to_access_denied(status: int, payload: Mapping[str, Any], message: str) -> AccessDeniedError:
    if status == 401:
        return AccessDeniedError(
            f"HubSpot rejects the access token: {message} Create a service key, export it as the"
            " variable that crm.hubspot.token names, and run again."
        )
    scopes: set[str] = set()
    for error in payload.get("errors") or []:
        context = error.get("context") or {}
        for name in ("requiredGranularScopes", "requiredScopes", "missingScopes"):
            scopes.update(context.get(name) or [])
    advice = (
        f"Add the scope(s) {', '.join(sorted(scopes))} to the token."
        if scopes
        else "Check the scopes of the token: expansion crm check."
    )
    return AccessDeniedError(f"HubSpot denies access: {message} {advice}")


def _to_rate_limit_error(
    payload: Mapping[str, Any], retry_after: float | None, message: str
) -> Exception:
    policy = str(payload.get("policyName", "")).upper()
    if policy == "DAILY":
        return AccessDeniedError(
            f"HubSpot's daily limit is reached: {message} It resets at midnight in the portal's"
            " time zone; the next run sends the rest."
        )
    return RetryableError(
        f"rate limit reached: {message}", retry_after or _POLICY_SECONDS.get(policy, 10.0)
    )

"""HubSpot API client: the official SDK with rate limiting and error mapping."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import urllib3
from hubspot import Client
from hubspot.crm.associations import v4
from hubspot.crm.objects.exceptions import ApiException
from hubspot.crm.owners.exceptions import ApiException as OwnersException
from hubspot.crm.pipelines.exceptions import ApiException as PipelinesException
from hubspot.crm.properties.exceptions import ApiException as PropertiesException
from hubspot.oauth.exceptions import ApiException as OauthException

from serving.delivery.crm.base import RateLimit, RetryableError
from serving.delivery.crm.hubspot.errors import to_error

__all__ = ["API_URL", "TIMEOUT_SECONDS", "HubSpotClient"]

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
_TOKEN_INFO_PATH: Final = "/oauth/v2/private-apps/get/access-token-info"  # noqa: S105


class HubSpotClient:
    """Client for the HubSpot APIs that this project uses.

    Parameters
    ----------
    token : str
        Service key or private app access token.
    url : str
        Base URL of the API.
    rate_limit : serving.delivery.crm.base.RateLimit
        Calls per time window, over all endpoints.
    timeout_seconds : float
        Timeout of one request.
    clock, sleep : callable
        Monotonic clock in seconds, and how to wait.
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
        self.rate_limit_headers: dict[str, str] = {}
        self._oauth = client.oauth.tokens_api.api_client
        self._token, self._url, self._timeout = token, url, timeout_seconds
        self._clock, self._sleep = clock, sleep
        self._call_limiter, self._search_limiter = (
            _RateLimiter(rate_limit),
            _RateLimiter(_SEARCH_RATE_LIMIT),
        )
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
        endpoint = self._oauth.call_api
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self._token}"}
        return self.request(endpoint, _TOKEN_INFO_PATH, "POST", {}, [], headers, body=body)

    @contextmanager
    def replay_responses(self, operation: object) -> Iterator[None]:
        """Treat the calls inside as steps of one operation.

        If the same operation is retried after a retryable error, the recorded responses are
        replayed and it resumes at the step that failed.
        """
        self._replay.start_operation(operation, self._clock())
        try:
            yield
        except RetryableError:
            raise
        except BaseException:
            self._replay = _ResponseReplay()
            raise
        self._replay = _ResponseReplay()

    def discard_replay(self) -> None:
        """Discard recorded responses, so that a retry starts at the first step."""
        self._replay = _ResponseReplay()

    def close(self) -> None:
        """Close the connections."""
        for api in (
            self.objects,
            self.search,
            self.associations,
            self.properties,
            self.property_batch,
        ):
            api.api_client.rest_client.pool_manager.clear()
        for api in (self.property_groups, self.pipelines, self.owners):
            api.api_client.rest_client.pool_manager.clear()
        self._oauth.rest_client.pool_manager.clear()

    def _send_request(
        self, endpoint: Callable[..., Any], *args: object, **kwargs: object
    ) -> dict[str, Any]:
        is_search = endpoint == self.search.do_search
        limiters = [self._call_limiter, self._search_limiter] if is_search else [self._call_limiter]
        for limiter in limiters:
            limiter.wait_for_slot(self._clock, self._sleep)
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
            # HubSpot counts a call at the latest when it responds.
            for limiter in limiters:
                limiter.record_call(self._clock())
        self.rate_limit_headers |= {
            name.lower(): value
            for name, value in response.headers.items()
            if name.lower().startswith("x-hubspot-ratelimit")
        }
        return payload


class _RateLimiter:
    """Sliding-window rate limiter over the times of the last calls."""

    def __init__(self, rate_limit: RateLimit) -> None:
        self._rate_limit = rate_limit
        self._call_times: deque[float] = deque(maxlen=rate_limit.max_calls)

    def wait_for_slot(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        if len(self._call_times) == self._rate_limit.max_calls:
            remaining = self._call_times[0] + self._rate_limit.window_seconds - clock()
            if remaining > 0:
                sleep(remaining)

    def record_call(self, now: float) -> None:
        self._call_times.append(now)


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

"""The door to HubSpot: its own client, asked at our pace, its faults told in our words."""

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

from serving.crm.hubspot.faults import fault
from serving.crm.target import Pace, Transient

__all__ = ["Door"]

# Every part of the client was generated with an exception of its own.
_ANSWERED: Final = (
    ApiException,
    OwnersException,
    PipelinesException,
    PropertiesException,
    OauthException,
    v4.ApiException,
)
_SEARCHES: Final = Pace(calls=4, per_seconds=1.0)  # HubSpot bears five
_FRESH_SECONDS: Final = 60.0
_INFO: Final = "/oauth/v2/private-apps/get/access-token-info"


class Door:
    """HubSpot's APIs, as far as they are asked.

    Parameters
    ----------
    token : str
        Service key or private app token.
    url : str
        Address of the API.
    pace : serving.crm.target.Pace
        Calls within seconds, whatever is asked.
    timeout_seconds : float
        For one answer.
    clock, sleep : callable
        Seconds that only run forward, and how to wait.
    """

    def __init__(
        self,
        token: str,
        url: str,
        *,
        pace: Pace,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        # What fails is tried again by the sender, which knows what may be repeated.
        client = Client.create(access_token=token, host=url, retry=False)
        self.objects = client.crm.objects.batch_api
        self.search = client.crm.objects.search_api
        self.links = client.crm.associations.v4.batch_api
        self.properties = client.crm.properties.core_api
        self.property_batch = client.crm.properties.batch_api
        self.groups = client.crm.properties.groups_api
        self.pipelines = client.crm.pipelines.pipelines_api
        self.owners = client.crm.owners.owners_api
        self.limits: dict[str, str] = {}
        self._oauth = client.oauth.tokens_api.api_client
        self._token, self._url, self._timeout = token, url, timeout_seconds
        self._clock, self._sleep = clock, sleep
        self._calls, self._searches = _Turns(pace), _Turns(_SEARCHES)
        self._steps = _Steps()

    def __repr__(self) -> str:
        return f"Door({self._url})"

    def __call__(self, ask: Callable[..., Any], *what: object, **named: object) -> dict[str, Any]:
        """Ask one thing of an API, and give the JSON of its answer.

        Raises
        ------
        serving.crm.target.Transient, serving.crm.target.Denied, serving.crm.target.BatchRefused
            As HubSpot answered, or did not.
        """
        request = (getattr(ask, "__qualname__", ""), what, named)
        known = self._steps.known(request)
        if known is not None:
            return known
        told = self._ask(ask, *what, **named)
        self._steps.done(request, told)
        return told

    def key_info(self) -> dict[str, Any]:
        """What HubSpot knows of the key: its portal and its scopes."""
        body = {"tokenKey": self._token}
        call = self._oauth.call_api
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self._token}"}
        return self(call, _INFO, "POST", {}, [], headers, body=body)

    @contextmanager
    def steps(self, asked: object) -> Iterator[None]:
        """Take the calls within as steps of one question.

        Asked the same again after a passing fault, it goes on with the step that failed.
        """
        self._steps.begin(asked, self._clock())
        try:
            yield
        except Transient:
            raise
        except BaseException:
            self._steps = _Steps()
            raise
        self._steps = _Steps()

    def forget_steps(self) -> None:
        """Begin with the first step, should the same be asked again."""
        self._steps = _Steps()

    def close(self) -> None:
        """Let go of connections."""
        for api in (self.objects, self.search, self.links, self.properties, self.property_batch):
            api.api_client.rest_client.pool_manager.clear()
        for api in (self.groups, self.pipelines, self.owners):
            api.api_client.rest_client.pool_manager.clear()
        self._oauth.rest_client.pool_manager.clear()

    def _ask(self, ask: Callable[..., Any], *what: object, **named: object) -> dict[str, Any]:
        is_search = ask == self.search.do_search
        turns = [self._calls, self._searches] if is_search else [self._calls]
        for turn in turns:
            turn.wait(self._clock, self._sleep)
        try:
            answer = ask(*what, _preload_content=False, _request_timeout=self._timeout, **named)
            told: dict[str, Any] = json.loads(answer.data or b"{}")
        except _ANSWERED as error:
            headers = dict(error.headers or {})
            raise fault(int(error.status or 0), headers, error.body or error.reason) from None
        except urllib3.exceptions.HTTPError as error:
            raise Transient(f"no answer from HubSpot: {type(error).__name__}") from None
        except ValueError:
            raise Transient("HubSpot's answer broke off") from None
        finally:
            # HubSpot has counted it by now, however long it was under way.
            for turn in turns:
                turn.taken(self._clock())
        self.limits |= {
            name.lower(): value
            for name, value in answer.headers.items()
            if name.lower().startswith("x-hubspot-ratelimit")
        }
        return told


class _Turns:
    """When the last calls were, so that no more are made within the time than are borne."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._times: deque[float] = deque(maxlen=pace.calls)

    def wait(self, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        if len(self._times) == self._pace.calls:
            left = self._times[0] + self._pace.per_seconds - clock()
            if left > 0:
                sleep(left)

    def taken(self, now: float) -> None:
        self._times.append(now)


class _Steps:
    """The steps of one question that were taken so far: requests, and their answers."""

    def __init__(self) -> None:
        self._asked: object = None
        self._since = 0.0
        self._taken: list[tuple[object, dict[str, Any]]] | None = None
        self._next = 0

    def begin(self, asked: object, now: float) -> None:
        is_same = self._taken is not None and asked == self._asked
        if not is_same or now - self._since > _FRESH_SECONDS:
            self._asked, self._since, self._taken = asked, now, []
        self._next = 0

    def known(self, request: object) -> dict[str, Any] | None:
        for place in range(self._next, len(self._taken or ())):
            before, answer = (self._taken or [])[place]
            if before == request:
                self._next = place + 1
                return answer
        return None

    def done(self, request: object, answer: dict[str, Any]) -> None:
        if self._taken is not None:
            self._taken.append((request, answer))
            self._next = len(self._taken)

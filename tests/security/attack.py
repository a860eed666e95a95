"""State of a running attack: its target, its scale, and valid traffic alongside."""

import itertools
import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from tests.benchmarks.events import server_process
from tests.security import raw_http
from tests.security.counters import AttackCategory, Ledger
from tests.security.raw_http import RawConnection, RawResponse
from tests.security.target import Target

_HIDDEN_FIELDS = ("csrf_token", "form_id")
WEBHOOK_PATHS = {"generic": "/webhooks/generic", "segment": "/webhooks/segment"}


def get_message_id(event: Mapping[str, Any]) -> str:
    """Return the id of a message of either source."""
    return str(event.get("messageId") or event["message_id"])


def account_path(account: str) -> str:
    return f"/account?id={quote(account, safe='')}"


@dataclass
class Attack:
    """A running server, its ledger and its database."""

    target: Target
    server: server_process.ServerProcess
    ledger: Ledger
    scale: float  # share of the full attack
    database: Any = None  # the PostgreSQL server, if used
    draw: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311
    category: AttackCategory = field(default_factory=lambda: AttackCategory("warm-up"))
    _numbers: Any = field(default_factory=itertools.count, repr=False)

    @property
    def port(self) -> int:
        return self.server.port

    def scale_count(self, whole: int) -> int:
        """Scale a count, to at least three."""
        return max(int(whole * self.scale), 3)

    def connect(self, source: str = "127.0.0.1", timeout: float = 30) -> RawConnection:
        return RawConnection(self.port, source=source, timeout=timeout)

    def new_id(self, name: str = "honest") -> str:
        return f"{name}-{next(self._numbers)}"

    def build_event(self, source: str = "generic", **fields: Any) -> dict[str, Any]:
        """Build a valid event of this moment."""
        account = self.draw.choice(self.target.monitored)
        now = datetime.now(UTC).isoformat()
        if source == "segment":
            return {
                "type": "track",
                "messageId": self.new_id(),
                "userId": f"{account}-{self.draw.randrange(14)}",
                "event": "Report Viewed",
                "properties": {"feature": "reports", "quantity": 1},
                "context": {"groupId": account},
                "timestamp": now,
                **fields,
            }
        return {
            "message_id": self.new_id(),
            "account_id": account,
            "user_id": f"{account}-{self.draw.randrange(14)}",
            "event": "view",
            "feature": "reports",
            "quantity": 1,
            "timestamp": now,
            **fields,
        }

    def sign(self, source: str, body: bytes) -> dict[str, str]:
        """Return valid credentials; either of the two methods for the generic source."""
        secret = self.target.secrets[source]
        if source == "segment":
            return raw_http.sign_segment(secret, body)
        if self.draw.random() < 0.5:
            return raw_http.sign_standard(secret, body, time.time())
        return {"X-Webhook-Secret": secret}

    def check(self, description: str, *, holds: bool, observed: object = "") -> None:
        """Record a violation if an assertion does not hold."""
        self.category.check(description, holds=holds, observed=observed)

    def expect_status(self, description: str, response: RawResponse, *expected: int) -> None:
        self.check(description, holds=response.status in expected, observed=response)

    def record(self, response: RawResponse, *, user: str = "", request: str = "") -> RawResponse:
        """Count a response, and check it for data that the user must not see."""
        return self.ledger.record(self.category, response, user=user, request=request)

    def post_webhook(
        self,
        connection: RawConnection,
        source: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        valid_ids: Sequence[str] = (),
    ) -> RawResponse:
        """Post a body; a 200 means that ``valid_ids`` must be stored."""
        credentials = self.sign(source, body) if headers is None else headers
        response = connection.send_request(
            "POST", WEBHOOK_PATHS[source], {"Content-Type": "application/json", **credentials}, body
        )
        self.record(response, request=body[:300].decode("utf-8", "replace"))
        if response.status == 200 and valid_ids:
            self.ledger.record_accepted(source, valid_ids)
            accepted = json.loads(response.body)["accepted"]
            self.check(
                "fewer accepted than sent",
                holds=accepted >= len(set(valid_ids)),
                observed=response.text,
            )
        return response

    def post_valid_event(self, connection: RawConnection, source: str = "generic") -> RawResponse:
        """Post one valid event."""
        event = self.build_event(source)
        body, valid_ids = json.dumps(event).encode(), [get_message_id(event)]
        return self.post_webhook(connection, source, body, valid_ids=valid_ids)

    def authorize(self, name: str) -> dict[str, str]:
        """Return the authorization header of a user."""
        return raw_http.bearer_header(self.target.tokens[name]) if name else {}

    def request_page(
        self,
        connection: RawConnection,
        method: str,
        path: str,
        user: str = "",
        **more: Any,
    ) -> RawResponse:
        """Request a page as a user, and check the response."""
        headers = {**self.authorize(user), **more.pop("headers", {})}
        body = more.pop("body", b"")
        response = connection.send_request(method, path, headers, body)
        request = f"{method} {path} {body[:2000].decode('utf-8', 'replace')}"
        return self.record(response, user=user, request=request)

    def load_form(self, connection: RawConnection, account: str, user: str) -> dict[str, str]:
        """Return the hidden fields of an account's feedback form."""
        page = self.request_page(connection, "GET", account_path(account), user).text
        fields = {
            name: re.findall(f'name="{name}" value="([^"]*)"', page) for name in _HIDDEN_FIELDS
        }
        assert all(fields.values()), page[:500]
        return {name: values[0] for name, values in fields.items()}

"""One attack under way: where it goes to, how much of it there is, and honest traffic beside it."""

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

import served
import wire
from ledger import Kind, Ledger
from target import Target
from wire import Answer, Line

_HIDDEN = ("seal", "once")
HOOKS = {"generic": "/webhooks/generic", "segment": "/webhooks/segment"}


@dataclass
class Attack:
    """A running server, and what is known of it."""

    target: Target
    at: served.Served
    ledger: Ledger
    share: float  # of the whole; 1: all of it
    database: Any = None  # the PostgreSQL, where it is one
    draw: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311
    _numbers: Any = field(default_factory=itertools.count, repr=False)

    @property
    def port(self) -> int:
        return self.at.port

    def times(self, whole: int) -> int:
        """So many of them, at least a few."""
        return max(int(whole * self.share), 3)

    def line(self, source: str = "127.0.0.1", patience: float = 30) -> Line:
        return Line(self.port, source=source, patience=patience)

    def new_id(self, name: str = "honest") -> str:
        return f"{name}-{next(self._numbers)}"

    def event(self, source: str = "generic", **told: Any) -> dict[str, Any]:
        """An honest event, of now."""
        account = self.draw.choice(self.target.watched)
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
                **told,
            }
        return {
            "message_id": self.new_id(),
            "account_id": account,
            "user_id": f"{account}-{self.draw.randrange(14)}",
            "event": "view",
            "feature": "reports",
            "quantity": 1,
            "timestamp": now,
            **told,
        }

    def signed(self, source: str, body: bytes) -> dict[str, str]:
        """What the right sender sends along; of the two ways of the generic route, either."""
        secret = self.target.secrets[source]
        if source == "segment":
            return wire.by_segment(secret, body)
        if self.draw.random() < 0.5:
            return wire.by_standard(secret, body, time.time())
        return {"X-Webhook-Secret": secret}

    def post(  # noqa: PLR0917
        self,
        kind: Kind,
        line: Line,
        source: str,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        honest: Sequence[str] = (),
    ) -> Answer:
        """Send a body; ``honest`` are the ids in it that must be kept where the answer is 200."""
        told = self.signed(source, body) if headers is None else headers
        answer = line.ask("POST", HOOKS[source], {"Content-Type": "application/json", **told}, body)
        self.ledger.note(kind, answer, asked=body[:300].decode("utf-8", "replace"))
        if answer.status == 200 and honest:
            self.ledger.keep(source, honest)
            said = json.loads(answer.body)["accepted"]
            kind.law("fewer taken than sent", holds=said >= len(set(honest)), found=answer.text)
        return answer

    def honest(self, kind: Kind, line: Line, source: str = "generic") -> Answer:
        """Send one honest event."""
        event = self.event(source)
        name = event["messageId" if source == "segment" else "message_id"]
        return self.post(kind, line, source, json.dumps(event).encode(), honest=[name])

    def viewer(self, name: str) -> dict[str, str]:
        """What a viewer sends along."""
        return wire.bearer(self.target.tokens[name]) if name else {}

    def ask(
        self, kind: Kind, line: Line, method: str, path: str, viewer: str = "", **more: Any
    ) -> Answer:
        """Ask for a page as somebody, and judge the answer."""
        headers = {**self.viewer(viewer), **more.pop("headers", {})}
        body = more.pop("body", b"")
        answer = line.ask(method, path, headers, body)
        asked = f"{method} {path} {body[:2000].decode('utf-8', 'replace')}"
        return self.ledger.note(kind, answer, viewer=viewer, asked=asked)

    def form(self, kind: Kind, line: Line, account: str, viewer: str) -> dict[str, str]:
        """What the answer form of an account carries hidden."""
        page = self.ask(kind, line, "GET", f"/account?id={quote(account, safe='')}", viewer).text
        told = {name: re.findall(f'name="{name}" value="([^"]*)"', page) for name in _HIDDEN}
        assert all(told.values()), page[:500]
        return {name: values[0] for name, values in told.items()}

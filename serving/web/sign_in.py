"""Who is looking, and so whose accounts they see; and whether a form is of our own making."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request

from data.web import Web

__all__ = ["COOKIE", "Doorkeeper", "Viewer"]

COOKIE: Final = "expansion"
SESSION_SECONDS: Final = 12 * 3600
_FORM_SECONDS: Final = 24 * 3600


@dataclass(frozen=True)
class Viewer:
    """Who is looking.

    Attributes
    ----------
    name : str
        By which what they say is kept.
    csm : str or None
        The book that they see; None: every book.
    """

    name: str
    csm: str | None = None

    def __repr__(self) -> str:
        return f"Viewer({'every book' if self.csm is None else 'one book'})"


class Doorkeeper:
    """Tells who is looking: anyone on this machine, who has a token, or whom a proxy names.

    Sessions are signed with what the tokens are, so that a token that is changed ends them.
    """

    def __init__(self, rules: Web) -> None:
        self.rules = rules
        self._viewers = _of_tokens(rules)
        key = "".join(sorted(self._viewers)) or secrets.token_hex(32)
        self._sessions = URLSafeTimedSerializer(key, salt="session")
        self._forms = URLSafeTimedSerializer(key, salt="form")

    def __repr__(self) -> str:
        return f"Doorkeeper({len(self._viewers)} tokens, header {self.rules.header})"

    @property
    def takes_tokens(self) -> bool:
        """Whether there is something to sign in with."""
        return bool(self._viewers)

    def viewer(self, request: Request) -> Viewer | None:
        """Say who is looking; None where they must sign in first."""
        if self.rules.open:
            return Viewer("whoever uses this machine")
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (found := self._viewers.get(_digest(given.strip()))):
            return found
        return self._named(request) or self._in_session(request.cookies.get(COOKIE, ""))

    def session(self, token: str) -> str | None:
        """Give what the browser keeps of a token; None where it is none of ours."""
        digest = _digest(token)
        known = any([hmac.compare_digest(digest, each) for each in self._viewers])
        return str(self._sessions.dumps(digest)) if known else None

    def seal(self, viewer: Viewer) -> str:
        """Give what a form carries that nobody else can make for this viewer."""
        return str(self._forms.dumps(viewer.name))

    def sealed(self, viewer: Viewer, seal: str) -> bool:
        """Say whether a form carries a seal of this viewer, of the last day."""
        try:
            name = self._forms.loads(seal, max_age=_FORM_SECONDS)
        except BadSignature:
            return False
        return bool(name == viewer.name)

    def _named(self, request: Request) -> Viewer | None:
        rules = self.rules
        near = request.client is not None and request.client.host in rules.proxies
        given = request.headers.getlist(rules.header) if rules.header and near else []
        if len(given) != 1 or not given[0].strip():
            return None
        name = given[0].strip()
        return Viewer(name, None if name in rules.leads else rules.csms.get(name, name))

    def _in_session(self, cookie: str) -> Viewer | None:
        try:
            digest = self._sessions.loads(cookie, max_age=SESSION_SECONDS)
        except BadSignature:
            return None
        return self._viewers.get(digest) if isinstance(digest, str) else None


def _of_tokens(rules: Web) -> Mapping[str, Viewer]:
    """Digest of a token → who has it."""
    found = {
        _digest(token.get_secret_value()): Viewer(csm, csm) for csm, token in rules.tokens.items()
    }
    if rules.token:
        found[_digest(rules.token.get_secret_value())] = Viewer("a lead")
    return found


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()

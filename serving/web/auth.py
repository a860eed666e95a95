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

from data.config.server import Web

__all__ = ["SESSION_COOKIE", "Authenticator", "User"]

SESSION_COOKIE: Final = "expansion"
SESSION_SECONDS: Final = 12 * 3600
_CSRF_SECONDS: Final = 24 * 3600


@dataclass(frozen=True)
class User:
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


class Authenticator:
    """Tells who is looking: anyone on this machine, who has a token, or whom a proxy names.

    Sessions are signed with what the tokens are, so that a token that is changed ends them.
    """

    def __init__(self, rules: Web) -> None:
        self.rules = rules
        self._users = _map_tokens_to_users(rules)
        key = "".join(sorted(self._users)) or secrets.token_hex(32)
        self._sessions = URLSafeTimedSerializer(key, salt="session")
        self._csrf_tokens = URLSafeTimedSerializer(key, salt="form")

    def __repr__(self) -> str:
        return f"Doorkeeper({len(self._users)} tokens, header {self.rules.auth_header})"

    @property
    def accepts_tokens(self) -> bool:
        """Whether there is something to sign in with."""
        return bool(self._users)

    def authenticate(self, request: Request) -> User | None:
        """Say who is looking; None where they must sign in first."""
        if self.rules.auth_disabled:
            return User("whoever uses this machine")
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (
            user := self._users.get(_hash_token(credentials.strip()))
        ):
            return user
        return self._authenticate_header(request) or self._authenticate_session(
            request.cookies.get(SESSION_COOKIE, "")
        )

    def create_session(self, token: str) -> str | None:
        """Give what the browser keeps of a token; None where it is none of ours."""
        digest = _hash_token(token)
        is_known = any([hmac.compare_digest(digest, each) for each in self._users])
        return str(self._sessions.dumps(digest)) if is_known else None

    def create_csrf_token(self, user: User) -> str:
        """Give what a form carries that nobody else can make for this viewer."""
        return str(self._csrf_tokens.dumps(user.name))

    def verify_csrf(self, user: User, token: str) -> bool:
        """Say whether a form carries a seal of this viewer, of the last day."""
        try:
            name = self._csrf_tokens.loads(token, max_age=_CSRF_SECONDS)
        except BadSignature:
            return False
        return bool(name == user.name)

    def _authenticate_header(self, request: Request) -> User | None:
        rules = self.rules
        from_proxy = request.client is not None and request.client.host in rules.trusted_proxies
        values = (
            request.headers.getlist(rules.auth_header) if rules.auth_header and from_proxy else []
        )
        if len(values) != 1 or not values[0].strip():
            return None
        name = values[0].strip()
        return User(name, None if name in rules.managers else rules.user_portfolios.get(name, name))

    def _authenticate_session(self, cookie: str) -> User | None:
        try:
            digest = self._sessions.loads(cookie, max_age=SESSION_SECONDS)
        except BadSignature:
            return None
        return self._users.get(digest) if isinstance(digest, str) else None


def _map_tokens_to_users(rules: Web) -> Mapping[str, User]:
    """Digest of a token → who has it."""
    users = {
        _hash_token(token.get_secret_value()): User(csm, csm) for csm, token in rules.tokens.items()
    }
    if rules.token:
        users[_hash_token(rules.token.get_secret_value())] = User("a lead")
    return users


def _hash_token(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()

"""Authentication, sessions and CSRF tokens."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request

from data.config.server import WebConfig

__all__ = ["SESSION_COOKIE", "Authenticator", "User"]

SESSION_COOKIE: Final = "expansion"
SESSION_SECONDS: Final = 12 * 3600
_CSRF_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, repr=False)
class User:
    """The authenticated user.

    ``name`` is stored with the user's feedback. ``csm`` is the portfolio that the user sees, None
    for all portfolios.
    """

    name: str
    csm: str | None = None


class Authenticator:
    """Authenticates by loopback address, token, or a trusted proxy's header.

    The signing key is derived from the tokens, so a changed token invalidates its sessions.
    """

    def __init__(self, rules: WebConfig) -> None:
        self.rules = rules
        self._users = _map_tokens_to_users(rules)
        key = "".join(sorted(self._users)) or secrets.token_hex(32)
        self._sessions = URLSafeTimedSerializer(key, salt="session")
        self._csrf_tokens = URLSafeTimedSerializer(key, salt="form")

    @property
    def accepts_tokens(self) -> bool:
        """True if sign-in by token is configured."""
        return bool(self._users)

    def authenticate(self, request: Request) -> User | None:
        """Return the user of a request; None if sign-in is required."""
        if self.rules.auth_disabled:
            return User("local user")
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and (
            user := self._users.get(_hash_token(credentials.strip()))
        ):
            return user
        return self._authenticate_header(request) or self._authenticate_session(
            request.cookies.get(SESSION_COOKIE, "")
        )

    def create_session(self, token: str) -> str | None:
        """Return the session cookie of a token; None for an unknown token."""
        digest = _hash_token(token)
        is_known = any([hmac.compare_digest(digest, user_digest) for user_digest in self._users])
        return str(self._sessions.dumps(digest)) if is_known else None

    def create_csrf_token(self, user: User) -> str:
        """Return a signed CSRF token for a form of this user."""
        return str(self._csrf_tokens.dumps(user.name))

    def verify_csrf(self, user: User, token: str) -> bool:
        """Return True if the CSRF token was issued to this user within the last day."""
        try:
            name = self._csrf_tokens.loads(token, max_age=_CSRF_SECONDS)
        except BadSignature:
            return False
        return bool(name == user.name)

    def _authenticate_header(self, request: Request) -> User | None:
        rules = self.rules
        from_proxy = request.client is not None and request.client.host in rules.trusted_proxies
        if not (rules.auth_header and from_proxy):
            return None
        values = request.headers.getlist(rules.auth_header)
        if len(values) != 1 or not (name := values[0].strip()):
            return None
        return User(name, None if name in rules.managers else rules.user_portfolios.get(name, name))

    def _authenticate_session(self, cookie: str) -> User | None:
        try:
            digest = self._sessions.loads(cookie, max_age=SESSION_SECONDS)
        except BadSignature:
            return None
        return self._users.get(digest) if isinstance(digest, str) else None


def _map_tokens_to_users(rules: WebConfig) -> Mapping[str, User]:
    """Return token hash → user."""
    users = {
        _hash_token(token.get_secret_value()): User(csm, csm) for csm, token in rules.tokens.items()
    }
    if rules.token:
        users[_hash_token(rules.token.get_secret_value())] = User("manager")
    return users


def _hash_token(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()

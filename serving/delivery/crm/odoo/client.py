"""Odoo client: JSON-2 API with error mapping.

Each call is one transaction in Odoo. See *External JSON-2 API* in Odoo 19's developer
documentation.
"""

from __future__ import annotations

from typing import Any, Final

import httpx

from serving.delivery.crm.base import (
    AccessDeniedError,
    BatchRejectedError,
    RetryableError,
    describe_exception,
    extract_first_line,
    parse_retry_after,
)

__all__ = ["OdooClient"]

_TIMEOUT_SECONDS: Final = 60.0  # below limit_time_real, Odoo's own limit for a request
_CONNECT_TIMEOUT_SECONDS: Final = 10.0
# Temporary database errors; others, such as an out-of-range value, are permanent.
_RETRYABLE_ERRORS: Final = (
    "psycopg2.OperationalError",
    "psycopg2.InterfaceError",
    "psycopg2.errors.SerializationFailure",
    "psycopg2.errors.TransactionRollback",
    "psycopg2.errors.DeadlockDetected",
    "psycopg2.errors.LockNotAvailable",
    "psycopg2.errors.QueryCanceled",
    "psycopg2.errors.AdminShutdown",
    "psycopg2.errors.CrashShutdown",
    "psycopg2.errors.CannotConnectNow",
    "psycopg2.errors.TooManyConnections",
    "psycopg2.pool.PoolError",
    "odoo.exceptions.ConcurrencyError",
    "odoo.exceptions.LockError",
)
_RETRYABLE_STATUSES: Final = (408, 429, 502, 503, 504)
_RETRYABLE_MESSAGES: Final = (
    "could not serialize access",
    "deadlock detected",
    "current transaction is",
)


class OdooClient:
    """Client that calls model methods with a user's API key; the key is never printed."""

    def __init__(
        self,
        url: str,
        database: str | None,
        api_key: str,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"bearer {api_key}", "User-Agent": "expansion"}
        if database:
            headers["X-Odoo-Database"] = database
        self.url, self.database = url.rstrip("/"), database
        self._http = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx.Timeout(_TIMEOUT_SECONDS, connect=_CONNECT_TIMEOUT_SECONDS),
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"OdooClient({self.url!r}, database={self.database!r})"

    def call(self, model: str, method: str, **arguments: Any) -> Any:  # noqa: ANN401 - any JSON
        """Call a method of a model, such as ``search_read`` of ``res.partner``.

        Among the named arguments, ``ids`` selects the records and ``context`` sets the context.

        Raises
        ------
        serving.delivery.crm.base.RetryableError
            If the call may succeed later.
        serving.delivery.crm.base.AccessDeniedError
            If the key, a permission, a module or a field is missing.
        serving.delivery.crm.base.BatchRejectedError
            If Odoo rejects the data; nothing was written.
        """
        try:
            response = self._http.post(f"/json/2/{model}/{method}", json=arguments)
        except httpx.TransportError as error:
            raise RetryableError(
                f"{self.url} did not respond: {describe_exception(error)}"
            ) from error
        except httpx.HTTPError as error:
            raise AccessDeniedError(
                f"invalid URL {self.url}: {describe_exception(error)}; fix crm.odoo.url"
            ) from error
        if not response.is_success:
            raise self._to_error(response)
        try:
            return response.json()
        except ValueError as error:
            raise RetryableError(
                f"{self.url} sent a truncated response to {model}.{method}"
            ) from error

    def save_records(self, model: str, ids: list[int], rows: list[dict[str, Any]]) -> None:
        """Set values of several records, each with its own values, in one transaction.

        Raises the same errors as :meth:`call`. If only some records deny access, the batch is
        rejected.
        """
        try:
            self.call(model, "web_save_multi", ids=ids, vals_list=rows, specification={})
        except AccessDeniedError as error:
            raise self._to_rejection(model, "write", str(error)) from error

    def load_records(
        self, model: str, rows: list[dict[str, str]], context: dict[str, Any]
    ) -> list[int]:
        """Create records under external ids, idempotently, and return their ids.

        A row maps columns to text: ``id`` is the external id, ``partner_id/.id`` a partner's
        database id. Odoo answers with status 200 even when it rejects all rows; the reasons are in
        ``messages``.
        """
        columns = list(dict.fromkeys(name for row in rows for name in row))
        data = [[row.get(name, "") for name in columns] for row in rows]
        response = self.call(model, "load", fields=columns, data=data, context=context)
        if response["ids"]:
            return list(response["ids"])
        messages = [item["message"] for item in response["messages"] if item["type"] == "error"]
        reason = extract_first_line(messages[0]) if messages else "Odoo gave no reason"
        if any(part in text for text in messages for part in _RETRYABLE_MESSAGES):
            raise RetryableError(reason)
        raise self._to_rejection(model, "create", reason)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _to_error(self, response: httpx.Response) -> Exception:
        status, (name, message) = response.status_code, _parse_error(response)
        if status == httpx.codes.UNAUTHORIZED:
            return AccessDeniedError(
                "Odoo rejects the API key, or it has expired; create one under My Preferences,"
                " Security, Add API Key, and export it again"
            )
        if status in _RETRYABLE_STATUSES or not name:
            return self._to_unexpected_error(response)
        if name in _RETRYABLE_ERRORS or any(part in message for part in _RETRYABLE_MESSAGES):
            return RetryableError(f"Odoo database error: {message}")
        if name.endswith(("AccessError", "AccessDenied", "NotFound", "Forbidden")):
            return AccessDeniedError(f"Odoo denies access: {message}")
        if "Invalid field" in message or (name == "builtins.KeyError" and message.startswith("x_")):
            return AccessDeniedError(
                f"an Odoo field is missing ({message}): run expansion crm setup"
            )
        return BatchRejectedError(message)

    def _to_rejection(self, model: str, operation: str, reason: str) -> Exception:
        """Return whether the user lacks the permission, or these records were rejected."""
        if self.call(model, "has_access", operation=operation):
            return BatchRejectedError(reason)
        return AccessDeniedError(
            f"Odoo denies access: our user has no {operation} right on {model}"
        )

    def _to_unexpected_error(self, response: httpx.Response) -> Exception:
        """Return the error for an overloaded server or a response of something else."""
        status = response.status_code
        if status in _RETRYABLE_STATUSES or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return RetryableError(
                f"{self.url} responded with status {status}",
                parse_retry_after(response.headers.get("Retry-After")),
            )
        location = f"database {self.database!r} at {self.url}" if self.database else self.url
        return AccessDeniedError(
            f"expected Odoo's JSON-2 API (Odoo 19 or later) of the {location}, found status"
            f" {status}; fix crm.odoo.url and crm.odoo.database"
        )


def _parse_error(response: httpx.Response) -> tuple[str, str]:
    """Return the class and first line of an Odoo error, or empty strings."""
    try:
        payload = response.json()
        return str(payload["name"]), extract_first_line(str(payload["message"]))
    except (ValueError, KeyError, TypeError):
        return "", ""

"""Lease that allows one sender per target.

A lease is a row. It is renewed with every batch, in the same transaction that records what is
in flight, so a sender that lost its lease can send nothing more. Clocks only decide how long to
wait for a sender that may have died: a wrong clock delays or advances the takeover and does no
harm.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from serving import store
from serving.store.schema import LEASES
from serving.store.upsert import insert_or_skip

__all__ = ["Lease", "LeaseLostError", "acquire_lease"]

_LEASE_DURATION: Final = timedelta(minutes=3)
_UNKNOWN_HOLDER: Final = "one that has just ended"


class LeaseLostError(Exception):
    """Another sender has taken over."""


@dataclass(frozen=True)
class Lease:
    """Right to send to one target; ``clock`` returns the wall clock, UTC."""

    target: str
    owner: str
    clock: Callable[[], datetime]

    def renew(self, connection: sa.Connection) -> None:
        """Extend the lease within the caller's transaction.

        Raises
        ------
        LeaseLostError
            If another sender holds it now.
        """
        if not self.try_renew(connection):
            raise LeaseLostError("another sender has taken over")

    def try_renew(self, connection: sa.Connection) -> bool:
        """Extend the lease; return True if it is still held."""
        statement = sa.update(LEASES).values(expires_at=self.clock() + _LEASE_DURATION)
        return connection.execute(statement.where(self._is_held)).rowcount == 1

    def release(self, engine: sa.Engine) -> None:
        """Release the lease, so that the next sender can acquire it."""
        with store.write_transaction(engine) as connection:
            connection.execute(sa.delete(LEASES).where(self._is_held))

    @property
    def _is_held(self) -> sa.ColumnElement[bool]:
        return (LEASES.c.target == self.target) & (LEASES.c.owner == self.owner)


def acquire_lease(engine: sa.Engine, target: str, clock: Callable[[], datetime]) -> Lease | str:
    """Acquire the lease, or return the name of its holder.

    Raises
    ------
    data.errors.DeliveryError
        If the database refuses.
    """
    lease = Lease(target, f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}", clock)
    row = {"target": target, "owner": lease.owner, "expires_at": clock() + _LEASE_DURATION}
    is_target = LEASES.c.target == target
    with store.write_transaction(engine) as connection:
        # The insert comes first: it takes the write lock before anything is compared.
        if insert_or_skip(connection, LEASES, row):
            return lease
        holder = connection.execute(sa.select(LEASES).where(is_target)).one_or_none()
        if holder is None or _is_holder_active(holder.owner, holder.expires_at, clock()):
            return str(holder.owner) if holder else _UNKNOWN_HOLDER
        is_unchanged = is_target & (LEASES.c.owner == holder.owner)
        updated = connection.execute(sa.update(LEASES).where(is_unchanged).values(**row)).rowcount
    return lease if updated else _UNKNOWN_HOLDER


def _is_holder_active(owner: str, expires_at: datetime, now: datetime) -> bool:
    """Return True if a holder may still be running; an expiry too far ahead means a wrong clock."""
    return now <= store.as_utc(expires_at) <= now + 2 * _LEASE_DURATION and not _is_process_dead(
        owner
    )


def _is_process_dead(owner: str) -> bool:
    """Return True if the owner was a process of this machine that has ended."""
    host, pid, _ = owner.rsplit("/", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False

"""HubSpot as a target: companies, deals and tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from typing import Final

from serving.crm.hubspot import checkup, owners, pipeline, reading, setup, work, writing
from serving.crm.hubspot.door import Door
from serving.crm.hubspot.names import shaped
from serving.crm.hubspot.pipeline import Board, Stages
from serving.crm.target import (
    Answer,
    BatchRefused,
    Change,
    Denied,
    Fields,
    Finding,
    Found,
    Kind,
    Pace,
    Ref,
    Value,
    Worked,
)

__all__ = ["HubSpot"]


class HubSpot:
    """HubSpot behind its API: a :class:`serving.crm.target.Target`.

    Parameters
    ----------
    door : serving.crm.hubspot.door.Door
        To its API.
    pace : serving.crm.target.Pace
        How fast it may be asked.
    stages : serving.crm.hubspot.pipeline.Stages
        Which stage of which pipeline stands for which state.
    account_property : str
        Unique property of companies that holds our account id.
    make_companies : bool
        Whether an account that no company matches gets one.
    """

    name: Final = "hubspot"

    def __init__(
        self,
        door: Door,
        *,
        pace: Pace,
        stages: Stages,
        account_property: str,
        make_companies: bool,
    ) -> None:
        self.pace = pace
        self._door = door
        self._stages = stages
        self._account_property = account_property
        self._make = make_companies

    def __repr__(self) -> str:
        return f"HubSpot({self._door!r}, pipeline {self._stages.pipeline!r})"

    def shape(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Give the values as HubSpot gives them back; its own name of a company stays its own."""
        told = shaped(kind, fields)
        if kind == "account" and not self._make:
            told.pop("name", None)
        return told

    def read(self, refs: Sequence[Ref]) -> list[Found | None]:
        """Give what stands there; for an opportunity, also what a human opened at the company."""
        if not refs:
            return []
        with _no_rows_at_fault(), self._door.steps(("read", tuple(refs))):
            if refs[0].kind == "account":
                return reading.accounts(self._door, refs, self._account_property)
            if refs[0].kind == "task":
                return reading.tasks(self._door, refs)
            return reading.opportunities(self._door, refs, self._board)

    def write(self, changes: Sequence[Change]) -> list[Answer]:
        """Set fields; what is new is made by its key, tied to its company, and given its owner."""
        if not changes:
            return []
        door, kind = self._door, changes[0].ref.kind
        with door.steps(("write", tuple(changes))):
            if kind == "account":
                return writing.accounts(door, changes, self._account_property, make=self._make)
            if kind == "task":
                return writing.tasks(door, changes, self._people)
            return writing.opportunities(door, changes, self._board, self._people)

    def check(self, accounts: Sequence[Ref]) -> list[Finding]:
        """Look, without writing, at the key, properties, pipeline, limits, companies and owners."""
        with _no_rows_at_fault():
            property_ = self._account_property
            return list(checkup.look(self._door, accounts, self._stages, property_, self.pace))

    def setup(self) -> list[str]:
        """Make the property group, the properties, the unique keys and the pipeline."""
        with _no_rows_at_fault():
            return setup.set_up(self._door, self._stages, self._account_property)

    def worked(self, since: date) -> list[Worked]:
        """Tell which tasks humans did, and which opportunities they moved."""
        with _no_rows_at_fault():
            told = [*work.done(self._door, since), *work.moved(self._door, since, self._board)]
        return sorted(set(told), key=lambda one: (one.account_id, one.on, one.how))

    def close(self) -> None:
        """Let go of connections."""
        self._door.close()

    @cached_property
    def _board(self) -> Board:
        told = self._door(self._door.pipelines.get_all, "deals")["results"]
        return pipeline.board(told, self._stages)

    def _people(self) -> Mapping[str, str]:
        """HubSpot's owners, by e-mail address and name; asked for where somebody is to own."""
        return self._owners

    @cached_property
    def _owners(self) -> Mapping[str, str]:
        return owners.known(self._door)


@contextmanager
def _no_rows_at_fault() -> Iterator[None]:
    """Where nothing is written, a refusal is not about rows."""
    try:
        yield
    except BatchRefused as error:
        raise Denied(f"HubSpot refuses what it is asked: {error}") from None

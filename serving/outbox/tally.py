"""Counts of one sender's work, as they come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from serving.crm.target import Kind
from serving.outbox.calls import Calls
from serving.outbox.plans import Plan
from serving.outbox.sent import Sent

__all__ = ["Tally"]


@dataclass
class Tally:
    """What has been done so far.

    Attributes
    ----------
    settled : int
        Rows that need not be looked at again.
    stuck : int
        Rows that could not be settled in the last pass: refused, waiting, or failing.
    worked : int or None
        Accounts that humans have dealt with; None where the CRM has not told.
    refused_in_a_row : int
        Rows that were refused one by one since the last one was taken.
    """

    made: Counter[Kind] = field(default_factory=Counter)
    changed: Counter[Kind] = field(default_factory=Counter)
    unchanged: int = 0
    fields: int = 0
    adopted: int = 0
    theirs: int = 0
    rejected: int = 0
    waiting: int = 0
    gone: int = 0
    settled: int = 0
    stuck: int = 0
    refused_in_a_row: int = 0
    worked: int | None = None

    @property
    def written(self) -> int:
        """Objects that were made or changed."""
        return self.made.total() + self.changed.total()

    def take(self, plan: Plan) -> None:
        """Count what was done about one object."""
        self.settled += 1
        self.theirs += len(plan.decision.theirs)
        self.adopted += plan.adopted and not plan.row.adopted
        self.fields += len(plan.decision.write)
        if plan.todo == "make":
            self.made[plan.row.kind] += 1
        elif plan.todo == "change":
            self.changed[plan.row.kind] += 1
        elif plan.todo == "leave" and plan.row.crm_id:
            self.gone += 1
        else:
            self.unchanged += 1

    def sent(self, call: Calls, *, pending: int, words: str | None) -> Sent:
        """Say it; ``pending`` rows are still to be sent, those that wait included."""
        return Sent(
            made=dict(self.made),
            changed=dict(self.changed),
            unchanged=self.unchanged,
            fields=self.fields,
            adopted=self.adopted,
            theirs=self.theirs,
            rejected=self.rejected,
            waiting=self.waiting,
            gone=self.gone,
            left=max(pending - self.waiting, 0),
            requests=call.requests,
            failures=call.failures,
            worked=self.worked,
            words=words,
        )

"""What a CRM gets to know: every field of an account, an opportunity and a task, in one place.

What should be true is said in these names. A target maps them onto its own, leaves out what it does
not carry, and makes them where they are missing (``expansion crm setup``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from serving.delivery.crm.base import Fields, Kind, Value

__all__ = [
    "CLOSE_REASONS",
    "FIELDS",
    "OPEN",
    "STATES",
    "WITHDRAWN",
    "CrmField",
    "make_episode_key",
    "make_task_key",
    "parse_account_id",
    "shape_fields",
    "should_create",
]

OPEN: Final = "open"
CLOSE_REASONS: Final = {
    "expanded": "the contract's level of that limit has risen since",
    "relieved": "the pressure has been gone for a while",
    "expired": "nothing came of it for too long",
    "lapsed": "the contract has ended",
}
WITHDRAWN: Final = "withdrawn"  # the run that made it was undone
STATES: Final = (OPEN, *CLOSE_REASONS, WITHDRAWN)


@dataclass(frozen=True)
class CrmField:
    """One field that we write.

    Attributes
    ----------
    type : {"text", "lines", "number", "whole", "day", "flag"}
        ``lines`` is one text of several sentences, parted by line ends; ``day`` an ISO date;
        ``whole`` an int, ``number`` a float.
    description : str
        What a reader of the CRM is told about it.
    decimals : int
        After the point, of a number: as many as are worth a write.
    is_native : bool
        True where a CRM has its own field for it, with its own owner, such as the account's name:
        a target that has it leaves ours out.
    """

    type: Literal["text", "lines", "number", "whole", "day", "flag"]
    description: str
    decimals: int = 0
    is_native: bool = False


def _make_share_field(description: str) -> CrmField:
    return CrmField("number", description, decimals=3)


_ACCOUNT: Final = {
    "name": CrmField("text", "name of the account", is_native=True),
    "csm": CrmField("text", "who looks after it", is_native=True),
    "as_of": CrmField("day", "the day, 00:00 UTC, as of which all of this is said"),
    "rank": CrmField("whole", "place on the list, from 1"),
    "book_rank": CrmField("whole", "place in the book of its CSM, from 1"),
    "this_week": CrmField("flag", "within what its CSM can work in a week"),
    "expansion_signal": CrmField("text", "tag: limit and tier, where a tier fires"),
    "probability": _make_share_field("probability of an expansion within the horizon, 0 to 1"),
    "low": _make_share_field("lower end of its 80 % interval"),
    "high": _make_share_field("upper end of its 80 % interval"),
    "band": CrmField("text", "band of the probability"),
    "band_told": CrmField("text", "how many accounts in this band expanded in the past"),
    "readiness_date": CrmField("day", "from when to talk; empty: no specific date"),
    "expected_date": CrmField("day", "when it expands, if it does within 180 days: the median"),
    "expected_early": CrmField("day", "lower end of the 80 % interval of that day"),
    "expected_late": CrmField("day", "upper end of the 80 % interval of that day"),
    "probability_180d": _make_share_field("probability of an expansion within 180 days"),
    "expected_arr": CrmField("number", "probability × usual rise × yearly revenue"),
    "churn_probability": _make_share_field("probability that the contract ends within the horizon"),
    "limit": CrmField("text", "what it runs into: seats, usage, plan or none"),
    "tier": CrmField("whole", "1: act within two weeks; 2: qualify; empty: neither"),
    "motion": CrmField("text", "the outreach that fits"),
    "buyer": CrmField("text", "whom to talk to"),
    "ask": CrmField("flag", "false where no ask is to be made now"),
    "signals": CrmField("lines", "why: the strongest drivers, a sentence each"),
    "holds_back": CrmField("lines", "what speaks against it, or why no ask is made"),
    "changed": CrmField("lines", "what changed since the list before"),
    "active_seats": CrmField("whole", "paid seats in use"),
    "licensed_seats": CrmField("whole", "paid seats sold"),
    "seat_utilization": _make_share_field("active ÷ licensed seats"),
    "model": CrmField("text", "model version, or the ranking in its place"),
    "note": CrmField("text", "why it is not on the list, or how little is known of it"),
}
_OPPORTUNITY: Final = {
    "name": CrmField("text", "the account and what it is about"),
    "state": CrmField("text", f"{OPEN}, or how it ended: {', '.join(CLOSE_REASONS)}, {WITHDRAWN}"),
    "probability": _make_share_field("probability of an expansion within the horizon, 0 to 1"),
    "amount": CrmField("number", "the usual rise at this limit × yearly revenue"),
    "expected_close_date": CrmField(
        "day", "when it expands, if it does within 180 days: the median"
    ),
    "readiness_date": CrmField("day", "from when to talk; empty: no specific date"),
    "limit": CrmField("text", "what the account runs into: seats, usage or plan"),
    "motion": CrmField("text", "the outreach that fits"),
    "buyer": CrmField("text", "whom to talk to"),
    "signals": CrmField("lines", "why: the strongest drivers, a sentence each"),
    "episode": CrmField("text", "our key: account, limit, episode"),
}
_TASK: Final = {
    "subject": CrmField("text", "what is to be done"),
    "state": CrmField(
        "text", f"{OPEN}, or how its episode ended: {', '.join(CLOSE_REASONS)}, {WITHDRAWN}"
    ),
    "due_date": CrmField("day", "by when; set once"),
    "notes": CrmField("lines", "why: the drivers when the task was made, a sentence each"),
    "motion": CrmField("text", "the outreach that fits"),
    "episode": CrmField("text", "key of the opportunity or episode it belongs to"),
}
FIELDS: Final[Mapping[Kind, Mapping[str, CrmField]]] = {
    "account": _ACCOUNT,
    "opportunity": _OPPORTUNITY,
    "task": _TASK,
}


def should_create(fields: Fields) -> bool:
    """Whether an object that does not stand at the target is made: not if it has ended already.

    Examples
    --------
    >>> should_create({"state": "open"}), should_create({"state": "expanded"})
    (True, False)
    """
    return fields.get("state", OPEN) == OPEN


def make_episode_key(account_id: str, limit: str, episode: int) -> str:
    """Our own name of an opportunity; a colon within an id is escaped, so keys never collide.

    Examples
    --------
    >>> make_episode_key("eu:42", "seats", 1)
    'eu%3A42:seats:1'
    """
    return f"{_escape_key_part(account_id)}:{_escape_key_part(limit)}:{episode}"


def make_task_key(episode: str, action: str) -> str:
    """Our own name of a task: the key of its episode, and what is to be done.

    Examples
    --------
    >>> make_task_key("acme:seats:1", "talk")
    'acme:seats:1:talk'
    """
    return f"{episode}:{action}"


def parse_account_id(key: str) -> str:
    """Return the account id within the key of an opportunity or a task.

    Examples
    --------
    >>> parse_account_id(make_task_key(make_episode_key("eu:4%2", "seats", 1), "talk"))
    'eu:4%2'
    """
    return key.partition(":")[0].replace("%3A", ":").replace("%25", "%")


def shape_fields(kind: Kind, fields: Fields) -> dict[str, Value]:
    """Return the known fields, each cast to its type; empty text becomes None."""
    known = FIELDS[kind]
    return {
        name: _cast_value(known[name].type, value)
        for name, value in fields.items()
        if name in known
    }


def _cast_value(kind: str, value: Value) -> Value:
    if value is None:
        return None
    if kind in {"text", "lines", "day"}:
        return str(value).replace("\x00", "") or None  # PostgreSQL cannot store NUL
    if kind == "number":
        return float(value)
    return bool(value) if kind == "flag" else int(value)


def _escape_key_part(text: str) -> str:
    return text.replace("%", "%25").replace(":", "%3A")

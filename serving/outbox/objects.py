"""What a CRM gets to know: every field of an account, an opportunity and a task, in one place.

What should be true is said in these names. A target maps them onto its own, leaves out what it does
not carry, and makes them where they are missing (``expansion crm setup``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from serving.crm.target import Fields, Kind, Value

__all__ = [
    "ENDINGS",
    "FIELDS",
    "OPEN",
    "STATES",
    "WITHDRAWN",
    "Field",
    "episode_key",
    "is_to_be_made",
    "parse_account_id",
    "shape_fields",
    "task_key",
]

OPEN: Final = "open"
ENDINGS: Final = {
    "expanded": "the contract's level of that limit has risen since",
    "relieved": "the pressure has been gone for a while",
    "expired": "nothing came of it for too long",
    "lapsed": "the contract has ended",
}
WITHDRAWN: Final = "withdrawn"  # the run that made it was undone
STATES: Final = (OPEN, *ENDINGS, WITHDRAWN)


@dataclass(frozen=True)
class Field:
    """One field that we write.

    Attributes
    ----------
    type : {"text", "lines", "number", "whole", "day", "flag"}
        ``lines`` is one text of several sentences, parted by line ends; ``day`` an ISO date;
        ``whole`` an int, ``number`` a float.
    means : str
        What a reader of the CRM is told about it.
    digits : int
        After the point, of a number: as many as are worth a write.
    reference : bool
        True where a CRM has its own field for it, with its own owner, such as the account's name:
        a target that has it leaves ours out.
    """

    type: Literal["text", "lines", "number", "whole", "day", "flag"]
    means: str
    digits: int = 0
    reference: bool = False


def _share(means: str) -> Field:
    return Field("number", means, digits=3)


_ACCOUNT: Final = {
    "name": Field("text", "name of the account", reference=True),
    "csm": Field("text", "who looks after it", reference=True),
    "as_of": Field("day", "the day, 00:00 UTC, as of which all of this is said"),
    "rank": Field("whole", "place on the list, from 1"),
    "book_rank": Field("whole", "place in the book of its CSM, from 1"),
    "this_week": Field("flag", "within what its CSM can work in a week"),
    "expansion_signal": Field("text", "tag: limit and tier, where a tier fires"),
    "probability": _share("probability of an expansion within the horizon, 0 to 1"),
    "low": _share("lower end of its 80 % interval"),
    "high": _share("upper end of its 80 % interval"),
    "band": Field("text", "band of the probability"),
    "band_told": Field("text", "how many accounts in this band expanded in the past"),
    "readiness_date": Field("day", "from when to talk; empty: no specific date"),
    "expected_date": Field("day", "when it expands, if it does within 180 days: the median"),
    "expected_early": Field("day", "lower end of the 80 % interval of that day"),
    "expected_late": Field("day", "upper end of the 80 % interval of that day"),
    "probability_180d": _share("probability of an expansion within 180 days"),
    "expected_arr": Field("number", "probability × usual rise × yearly revenue"),
    "churn_probability": _share("probability that the contract ends within the horizon"),
    "limit": Field("text", "what it runs into: seats, usage, plan or none"),
    "tier": Field("whole", "1: act within two weeks; 2: qualify; empty: neither"),
    "motion": Field("text", "the outreach that fits"),
    "buyer": Field("text", "whom to talk to"),
    "ask": Field("flag", "false where no ask is to be made now"),
    "signals": Field("lines", "why: the strongest drivers, a sentence each"),
    "holds_back": Field("lines", "what speaks against it, or why no ask is made"),
    "changed": Field("lines", "what changed since the list before"),
    "active_seats": Field("whole", "paid seats in use"),
    "licensed_seats": Field("whole", "paid seats sold"),
    "seat_utilization": _share("active ÷ licensed seats"),
    "model": Field("text", "model version, or the ranking in its place"),
    "note": Field("text", "why it is not on the list, or how little is known of it"),
}
_OPPORTUNITY: Final = {
    "name": Field("text", "the account and what it is about"),
    "state": Field("text", f"{OPEN}, or how it ended: {', '.join(ENDINGS)}, {WITHDRAWN}"),
    "probability": _share("probability of an expansion within the horizon, 0 to 1"),
    "amount": Field("number", "the usual rise at this limit × yearly revenue"),
    "expected_close_date": Field("day", "when it expands, if it does within 180 days: the median"),
    "readiness_date": Field("day", "from when to talk; empty: no specific date"),
    "limit": Field("text", "what the account runs into: seats, usage or plan"),
    "motion": Field("text", "the outreach that fits"),
    "buyer": Field("text", "whom to talk to"),
    "signals": Field("lines", "why: the strongest drivers, a sentence each"),
    "episode": Field("text", "our key: account, limit, episode"),
}
_TASK: Final = {
    "subject": Field("text", "what is to be done"),
    "state": Field("text", f"{OPEN}, or how its episode ended: {', '.join(ENDINGS)}, {WITHDRAWN}"),
    "due_date": Field("day", "by when; set once"),
    "notes": Field("lines", "why: the drivers when the task was made, a sentence each"),
    "motion": Field("text", "the outreach that fits"),
    "episode": Field("text", "key of the opportunity or episode it belongs to"),
}
FIELDS: Final[Mapping[Kind, Mapping[str, Field]]] = {
    "account": _ACCOUNT,
    "opportunity": _OPPORTUNITY,
    "task": _TASK,
}


def is_to_be_made(fields: Fields) -> bool:
    """Whether an object that does not stand at the target is made: not if it has ended already.

    Examples
    --------
    >>> is_to_be_made({"state": "open"}), is_to_be_made({"state": "expanded"})
    (True, False)
    """
    return fields.get("state", OPEN) == OPEN


def episode_key(account_id: str, limit: str, episode: int) -> str:
    """Our own name of an opportunity; a colon within an id is escaped, so keys never collide.

    Examples
    --------
    >>> episode_key("eu:42", "seats", 1)
    'eu%3A42:seats:1'
    """
    return f"{_escaped(account_id)}:{_escaped(limit)}:{episode}"


def task_key(episode: str, action: str) -> str:
    """Our own name of a task: the key of its episode, and what is to be done.

    Examples
    --------
    >>> task_key("acme:seats:1", "talk")
    'acme:seats:1:talk'
    """
    return f"{episode}:{action}"


def parse_account_id(key: str) -> str:
    """Return the account id within the key of an opportunity or a task.

    Examples
    --------
    >>> parse_account_id(task_key(episode_key("eu:4%2", "seats", 1), "talk"))
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


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace(":", "%3A")

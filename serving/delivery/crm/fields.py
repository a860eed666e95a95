"""Field catalogue: every field of an account, an opportunity and a task that we write to a CRM.

The desired state uses these names. A target maps them to its own field names, leaves out those
that it does not hold, and creates missing ones (``expansion crm setup``).
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

from data.errors import SettingsError
from serving.delivery.crm.base import Fields, Kind, Value

__all__ = [
    "CLOSE_REASONS",
    "FIELDS",
    "OPEN",
    "STATES",
    "WITHDRAWN",
    "CrmField",
    "FieldMapping",
    "make_episode_key",
    "make_task_key",
    "map_fields",
    "normalize_fields",
    "parse_account_id",
    "remove_control_characters",
    "should_create",
]

OPEN: Final = "open"
CLOSE_REASONS: Final = {
    "expanded": "the contract's entitlement for that limit has increased",
    "relieved": "no pressure for some time",
    "expired": "open for too long without an expansion",
    "lapsed": "the contract has ended",
}
WITHDRAWN: Final = "withdrawn"  # its run was rolled back
STATES: Final = (OPEN, *CLOSE_REASONS, WITHDRAWN)


@dataclass(frozen=True)
class CrmField:
    """One field that we write.

    Attributes
    ----------
    type : {"text", "multiline", "number", "integer", "date", "boolean"}
        ``multiline`` is one text of several sentences, separated by line breaks; ``date`` is ISO
        text; ``number`` is a float.
    description : str
        Description that readers of the CRM see.
    decimals : int
        Decimal places of a number; smaller differences are not written.
    is_native : bool
        True if a CRM has its own field for the value, such as the account name; such a target
        leaves ours out.
    is_share : bool
        True for a number between 0 and 1 that people read as a percentage.
    """

    type: Literal["text", "multiline", "number", "integer", "date", "boolean"]
    description: str
    decimals: int = 0
    is_native: bool = False
    is_share: bool = False


def _make_share_field(description: str) -> CrmField:
    return CrmField("number", description, decimals=3, is_share=True)


_ACCOUNT: Final = {
    "name": CrmField("text", "name of the account", is_native=True),
    "csm": CrmField("text", "customer success manager of the account", is_native=True),
    "as_of": CrmField("date", "as-of date of all these values, 00:00 UTC"),
    "rank": CrmField("integer", "rank on the list, from 1"),
    "portfolio_rank": CrmField("integer", "rank in the portfolio of its CSM, from 1"),
    "in_weekly_capacity": CrmField("boolean", "within the weekly capacity of its CSM"),
    "expansion_signal": CrmField("text", "tag: limit and tier, if a tier rule fires"),
    "probability": _make_share_field("probability of an expansion within the horizon, 0 to 1"),
    "low": _make_share_field("lower end of its 80 % interval"),
    "high": _make_share_field("upper end of its 80 % interval"),
    "band": CrmField("text", "band of the probability"),
    "band_track_record": CrmField(
        "text", "number of accounts in this band that expanded in the past"
    ),
    "readiness_date": CrmField("date", "date from which to make contact; empty: no specific date"),
    "expected_date": CrmField(
        "date", "median date of the expansion, if it expands within 180 days"
    ),
    "expected_early": CrmField("date", "lower end of the 80 % interval of that date"),
    "expected_late": CrmField("date", "upper end of the 80 % interval of that date"),
    "probability_180d": _make_share_field("probability of an expansion within 180 days"),
    "expected_arr": CrmField("number", "expected ARR: probability × typical uplift × ARR"),
    "churn_probability": _make_share_field("probability that the contract ends within the horizon"),
    "limit": CrmField("text", "limit that the account is reaching: seats, usage, plan or none"),
    "tier": CrmField("integer", "1: act within two weeks; 2: qualify; empty: neither"),
    "motion": CrmField("text", "recommended motion"),
    "contact_role": CrmField("text", "role to contact"),
    "outreach_allowed": CrmField("boolean", "false if outreach is suppressed"),
    "signals": CrmField("multiline", "reasons: the strongest drivers, one sentence each"),
    "counter_reasons": CrmField("multiline", "counter-reasons, or why outreach is suppressed"),
    "changes": CrmField("multiline", "changes since the previous list"),
    "active_seats": CrmField("integer", "paid seats in use"),
    "licensed_seats": CrmField("integer", "paid seats sold"),
    "seat_utilization": _make_share_field("active ÷ licensed seats"),
    "model": CrmField("text", "model version, or the fallback ranking"),
    "note": CrmField("text", "reason for not being listed, or a note on low evidence"),
}
_OPPORTUNITY: Final = {
    "name": CrmField("text", "account and subject"),
    "state": CrmField("text", f"{OPEN}, or why it closed: {', '.join(CLOSE_REASONS)}, {WITHDRAWN}"),
    "probability": _make_share_field("probability of an expansion within the horizon, 0 to 1"),
    "amount": CrmField("number", "typical uplift for this limit × ARR"),
    "expected_close_date": CrmField(
        "date", "median date of the expansion, if it expands within 180 days"
    ),
    "readiness_date": CrmField("date", "date from which to make contact; empty: no specific date"),
    "limit": CrmField("text", "limit that the account is reaching: seats, usage or plan"),
    "motion": CrmField("text", "recommended motion"),
    "contact_role": CrmField("text", "role to contact"),
    "signals": CrmField("multiline", "reasons: the strongest drivers, one sentence each"),
    "episode": CrmField("text", "external key: account, limit, episode"),
}
_TASK: Final = {
    "subject": CrmField("text", "what to do"),
    "state": CrmField(
        "text", f"{OPEN}, or why its episode closed: {', '.join(CLOSE_REASONS)}, {WITHDRAWN}"
    ),
    "due_date": CrmField("date", "due date; set once"),
    "notes": CrmField(
        "multiline", "reasons: the drivers when the task was created, one sentence each"
    ),
    "motion": CrmField("text", "recommended motion"),
    "episode": CrmField("text", "key of its opportunity or episode"),
}
FIELDS: Final[Mapping[Kind, Mapping[str, CrmField]]] = {
    "account": _ACCOUNT,
    "opportunity": _OPPORTUNITY,
    "task": _TASK,
}


def should_create(fields: Fields) -> bool:
    """Return True if a missing object is created at the target: only while it is open.

    Examples
    --------
    >>> should_create({"state": "open"}), should_create({"state": "expanded"})
    (True, False)
    """
    return fields.get("state", OPEN) == OPEN


def make_episode_key(account_id: str, limit: str, episode: int) -> str:
    """Return the external key of an opportunity; escaped colons keep keys unique.

    Examples
    --------
    >>> make_episode_key("eu:42", "seats", 1)
    'eu%3A42:seats:1'
    """
    return f"{_escape_key_part(account_id)}:{_escape_key_part(limit)}:{episode}"


def make_task_key(episode: str, action: str) -> str:
    """Return the external key of a task: the key of its episode plus the action.

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


class MappedField(Protocol):
    """A CRM's field that holds one of ours."""

    @property
    def name(self) -> str:
        """Name of the field in the CRM."""

    def normalize(self, value: Value) -> Value:
        """Return a value as the CRM would return it."""

    def serialize(self, value: Value) -> Any:  # noqa: ANN401 - the CRM's value
        """Return the CRM's value of a normalized one."""

    def deserialize(self, value: Any) -> Value:  # noqa: ANN401 - the CRM's value
        """Return our value of the CRM's."""


MappedFieldT = TypeVar("MappedFieldT", bound=MappedField)


@dataclass(frozen=True)
class FieldMapping(Generic[MappedFieldT]):
    """Mapping of our fields to a CRM's: kind → our field name → the CRM's field."""

    fields: Mapping[Kind, Mapping[str, MappedFieldT]]

    def get_names(self, kind: Kind) -> dict[str, str]:
        """Return our field names with the CRM's."""
        return {name: mapped.name for name, mapped in self.fields[kind].items()}

    def normalize(self, kind: Kind, fields: Fields) -> dict[str, Value]:
        """Return values as the CRM would return them; fields that it does not hold are left out."""
        mapped = self.fields[kind]
        return {
            name: mapped[name].normalize(value) for name, value in fields.items() if name in mapped
        }

    def serialize_fields(self, kind: Kind, fields: Fields) -> dict[str, Any]:
        """Return the CRM's names and values of our fields."""
        mapped = self.fields[kind]
        return {
            mapped[name].name: mapped[name].serialize(value)
            for name, value in self.normalize(kind, fields).items()
        }

    def deserialize_record(self, kind: Kind, record: Mapping[str, Any]) -> dict[str, Value]:
        """Return our fields of a CRM's record."""
        return {
            name: mapped.deserialize(record.get(mapped.name))
            for name, mapped in self.fields[kind].items()
        }


def map_fields(
    crm: str,
    overrides: Mapping[Kind, Mapping[str, str]],
    get_default_name: Callable[[Kind, str], str],
    build_field: Callable[[Kind, str, str], MappedFieldT],
) -> dict[Kind, dict[str, MappedFieldT]]:
    """Return the CRM's fields under the configured or default names; an empty name omits one.

    ``build_field`` takes the kind, our name and the CRM's.

    Raises
    ------
    data.errors.SettingsError
        If the settings map an unknown field.
    """
    fields: dict[Kind, dict[str, MappedFieldT]] = {}
    for kind, catalogue in FIELDS.items():
        configured = overrides.get(kind, {})
        if unknown := sorted(set(configured) - set(catalogue)):
            raise SettingsError(
                f"crm.{crm}.fields.{kind}: unknown field(s) {', '.join(unknown)}; expected one of"
                f" {', '.join(catalogue)}."
            )
        names = {name: get_default_name(kind, name) for name in catalogue} | dict(configured)
        fields[kind] = {
            name: build_field(kind, name, mapped) for name, mapped in names.items() if mapped
        }
    return fields


def normalize_fields(kind: Kind, fields: Fields) -> dict[str, Value]:
    """Return the known fields, each cast to its type; empty text becomes None."""
    catalogue = FIELDS[kind]
    return {
        name: _cast_value(catalogue[name].type, value)
        for name, value in fields.items()
        if name in catalogue
    }


def remove_control_characters(text: str) -> str:
    """Remove control characters and surrogates other than line breaks (LF) and tabs."""
    return "".join(
        character
        for character in text
        if character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs"}
    )


def _cast_value(field_type: str, value: Value) -> Value:
    if value is None:
        return None
    if field_type in {"text", "multiline", "date"}:
        return str(value).replace("\x00", "") or None  # PostgreSQL cannot store NUL
    if field_type == "number":
        return float(value)
    return bool(value) if field_type == "boolean" else int(value)


def _escape_key_part(text: str) -> str:
    return text.replace("%", "%25").replace(":", "%3A")

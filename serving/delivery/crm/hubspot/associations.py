"""HubSpot associations: deal to company, task to company and deal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from serving.delivery.crm.base import BatchRejectedError, ObjectRef, Rejected, RetryableError
from serving.delivery.crm.hubspot.client import HubSpotClient
from serving.delivery.crm.hubspot.errors import format_error

__all__ = ["create_associations", "find_parent_ids", "read_associations"]

_BATCH_SIZE: Final = 1_000
# Ids of HubSpot-defined association types.
_ASSOCIATION_TYPE_IDS: Final[Mapping[tuple[str, str], int]] = {
    ("deals", "companies"): 341,
    ("tasks", "companies"): 192,
    ("tasks", "deals"): 216,
}
_NO_ASSOCIATION_ERRORS: Final = ("OBJECT_NOT_FOUND", "NO_ASSOCIATIONS_FOUND")


def find_parent_ids(ref: ObjectRef) -> dict[str, str]:
    """Return the parent records of a deal or task: object type → HubSpot record id."""
    parents = {"companies": ref.account_crm_id, "deals": ref.opportunity_crm_id}
    if ref.kind == "opportunity":
        parents.pop("deals")
    return {object_type: crm_id for object_type, crm_id in parents.items() if crm_id}


def read_associations(
    client: HubSpotClient, from_type: str, to_type: str, ids: Iterable[str]
) -> dict[str, set[str]]:
    """Read the associated record ids of each record id."""
    associated: dict[str, set[str]] = {from_id: set() for from_id in ids}
    inputs: list[dict[str, str]] = [{"id": from_id} for from_id in associated]
    while inputs:
        response = client.request(
            client.associations.get_page, from_type, to_type, {"inputs": inputs[:_BATCH_SIZE]}
        )
        _raise_for_errors(client, response)
        next_inputs = []
        for result in response.get("results") or []:
            from_id = str(result["from"]["id"])
            associated[from_id] |= {str(other["toObjectId"]) for other in result["to"]}
            after = ((result.get("paging") or {}).get("next") or {}).get("after")
            if after:
                next_inputs.append({"id": from_id, "after": str(after)})
        inputs = inputs[_BATCH_SIZE:] + next_inputs
    return associated


def create_associations(
    client: HubSpotClient, from_type: str, to_type: str, pairs: Sequence[tuple[str, str]]
) -> dict[str, Rejected]:
    """Associate each pair of record ids, and return the rejections by the first id.

    Raises
    ------
    serving.delivery.crm.base.BatchRejectedError
        If HubSpot does not name the rejected records.
    """
    association_type = {
        "associationCategory": "HUBSPOT_DEFINED",
        "associationTypeId": _ASSOCIATION_TYPE_IDS[from_type, to_type],
    }
    inputs = [
        {"from": {"id": first}, "to": {"id": second}, "types": [association_type]}
        for first, second in pairs
    ]
    response = client.request(client.associations.create, from_type, to_type, {"inputs": inputs})
    rejected: dict[str, Rejected] = {}
    for error in response.get("errors") or []:
        reason = format_error(error)
        from_ids = (error.get("context") or {}).get("fromObjectId") or []
        if not from_ids:
            raise BatchRejectedError(reason)
        rejected |= {str(from_id): Rejected(reason) for from_id in from_ids}
    return rejected


def _raise_for_errors(client: HubSpotClient, response: Mapping[str, Any]) -> None:
    """Raise on any error other than a missing association."""
    for error in response.get("errors") or []:
        if not any(
            code in f"{error.get('category')} {error.get('subCategory')}"
            for code in _NO_ASSOCIATION_ERRORS
        ):
            client.discard_replay()
            raise RetryableError(f"HubSpot could not read all associations: {format_error(error)}")

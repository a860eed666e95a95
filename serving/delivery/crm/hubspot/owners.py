"""HubSpot owners: match a CSM to an owner by e-mail address or full name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from serving.delivery.crm.hubspot.client import HubSpotClient

__all__ = ["fetch_owners", "find_owner"]

_PAGE_SIZE: Final = 500


def fetch_owners(client: HubSpotClient) -> dict[str, str]:
    """Fetch owners: lower-case e-mail address or full name → owner id.

    A name shared by two owners is left out.
    """
    owner_ids: dict[str, str] = {}
    after: str | None = None
    while True:
        page = {"after": after} if after else {}
        response = client.request(client.owners.get_page, limit=_PAGE_SIZE, archived=False, **page)
        for owner in response["results"]:
            _add_owner(owner_ids, owner)
        after = ((response.get("paging") or {}).get("next") or {}).get("after")
        if not after:
            return {name: owner for name, owner in owner_ids.items() if owner}


def find_owner(owner_ids: Mapping[str, str], csm: str | None) -> str | None:
    """Return the owner id of a CSM, or None.

    Examples
    --------
    >>> find_owner({"ada@acme.com": "7"}, "Ada@acme.com"), find_owner({}, "Ada")
    ('7', None)
    """
    return owner_ids.get(" ".join((csm or "").split()).lower())


def _add_owner(owner_ids: dict[str, str], owner: Mapping[str, Any]) -> None:
    name = f"{owner.get('firstName') or ''} {owner.get('lastName') or ''}".strip().lower()
    email = str(owner.get("email") or "").lower()
    if name:
        owner_ids[name] = "" if name in owner_ids else str(owner["id"])
    if email:
        owner_ids[email] = str(owner["id"])

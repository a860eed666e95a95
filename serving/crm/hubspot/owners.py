"""Who owns what we make: the CSM, where HubSpot knows one of that e-mail address or name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from serving.crm.hubspot.door import Door

__all__ = ["known", "of"]

_PAGE: Final = 500


def known(door: Door) -> dict[str, str]:
    """E-mail address or full name, in small letters → HubSpot's name of the owner.

    A name that two of them have is nobody's.
    """
    found: dict[str, str] = {}
    after: str | None = None
    while True:
        page = {"after": after} if after else {}
        told = door(door.owners.get_page, limit=_PAGE, archived=False, **page)
        for owner in told["results"]:
            _enter(found, owner)
        after = ((told.get("paging") or {}).get("next") or {}).get("after")
        if not after:
            return {name: owner for name, owner in found.items() if owner}


def of(owners: Mapping[str, str], csm: str | None) -> str | None:
    """Give the owner that a CSM is, if any.

    Examples
    --------
    >>> of({"ada@acme.com": "7"}, "Ada@acme.com"), of({}, "Ada")
    ('7', None)
    """
    return owners.get(" ".join((csm or "").split()).lower())


def _enter(found: dict[str, str], owner: Mapping[str, Any]) -> None:
    name = f"{owner.get('firstName') or ''} {owner.get('lastName') or ''}".strip().lower()
    email = str(owner.get("email") or "").lower()
    if name:
        found[name] = "" if name in found else str(owner["id"])
    if email:
        found[email] = str(owner["id"])

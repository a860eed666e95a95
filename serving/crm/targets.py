"""Open the CRM that the settings name, and only that one's client.

Each target is a module ``serving.crm.<name>`` with a function ``target(settings) -> Target``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from data.errors import DeliveryError

if TYPE_CHECKING:
    from data.settings import Settings
    from serving.crm.target import Target

__all__ = ["NAMES", "WRITE_ONLY", "named", "open_target"]

NAMES: Final = ("sql", "odoo", "hubspot", "salesforce", "files")
WRITE_ONLY: Final = ("files",)  # from which nothing is read back


def named(settings: Settings, name: str | None = None) -> str:
    """Say which CRM is meant, before any work is done for it.

    Raises
    ------
    data.errors.DeliveryError
        If there is no such CRM.
    """
    wanted = name or settings.crm.name
    if wanted not in NAMES:
        raise DeliveryError(f"no CRM named {wanted!r}; this version writes to: {', '.join(NAMES)}.")
    return wanted


def open_target(settings: Settings, name: str | None = None) -> Target:
    """Open the CRM of the settings, or the one named; to be closed by the caller.

    Raises
    ------
    data.errors.DeliveryError
        If there is no such CRM, or a library that it needs is not installed.
    """
    wanted = named(settings, name)
    module = f"serving.crm.{wanted}"
    try:
        opened = import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module:
            raise DeliveryError(f"the CRM {wanted!r} is not part of this version.") from None
        raise DeliveryError(
            f"the CRM {wanted!r} needs {error.name}, which is not installed: pip install"
            f" '.[{wanted}]'."
        ) from error
    return cast("Target", opened.target(settings))

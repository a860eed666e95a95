"""Registry of CRM targets: open the configured one, and import only its client.

Each target is a module or package ``serving.delivery.crm.<name>`` with a function
``create_target(settings) -> CrmTarget``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

from data.errors import DeliveryError

if TYPE_CHECKING:
    from data.config.settings import Settings
    from serving.delivery.crm.base import CrmTarget

__all__ = ["TARGET_NAMES", "WRITE_ONLY_TARGETS", "open_target", "resolve_target_name"]

TARGET_NAMES: Final = ("sql", "odoo", "hubspot", "salesforce", "files")
WRITE_ONLY_TARGETS: Final = ("files",)  # nothing is read back from these


def resolve_target_name(settings: Settings, name: str | None = None) -> str:
    """Return the name of the CRM to use, validated.

    Raises
    ------
    data.errors.DeliveryError
        If there is no such CRM.
    """
    target_name = name or settings.crm.name
    if target_name not in TARGET_NAMES:
        raise DeliveryError(
            f"no CRM named {target_name!r}; this version supports: {', '.join(TARGET_NAMES)}."
        )
    return target_name


def open_target(settings: Settings, name: str | None = None) -> CrmTarget:
    """Open the configured CRM, or the one named; the caller closes it.

    Raises
    ------
    data.errors.DeliveryError
        If there is no such CRM, or a library that it needs is not installed.
    """
    target_name = resolve_target_name(settings, name)
    try:
        target_module = import_module(f"serving.delivery.crm.{target_name}")
    except ModuleNotFoundError as error:
        raise DeliveryError(
            f"the CRM {target_name!r} needs {error.name}, which is not installed: pip install"
            f" '.[{target_name}]'."
        ) from error
    return cast("CrmTarget", target_module.create_target(settings))

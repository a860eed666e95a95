"""Synthetic names of companies, CSMs, features and integrations."""

from typing import Final

from data.simulator.account_state import Generator

__all__ = ["CSMS", "DEPARTMENTS", "FEATURES", "INTEGRATIONS", "generate_company_names"]

# From basic to advanced.
FEATURES: Final = (
    "inbox", "search", "comments", "lists", "boards", "files", "mentions", "calendar", "templates",
    "exports", "filters", "labels", "shared_views", "reminders", "reports", "forms", "timelines",
    "dashboards", "guests", "custom_fields", "bulk_edit", "approvals", "schedules", "workloads",
    "rules", "goals", "portfolios", "forecasts", "audit_log", "permissions", "sandboxes",
    "scripting", "webhooks", "data_sync", "custom_roles", "residency",
)  # fmt: skip
INTEGRATIONS: Final = (
    "chat", "mail", "crm", "billing", "storage", "tickets", "calendar_sync", "warehouse",
    "forms_in", "single_sign_on", "video", "code_host",
)  # fmt: skip
DEPARTMENTS: Final = ("operations", "marketing", "sales", "finance", "support")
CSMS: Final = ("Ada", "Bo", "Cleo", "Dara", "Emre", "Fay", "Gil", "Hana")
_ADJECTIVES: Final = (
    "Amber", "Birch", "Cedar", "Copper", "Crimson", "Dapple", "Ember", "Fallow", "Fern", "Flint",
    "Gentle", "Hazel", "Hollow", "Indigo", "Ivory", "Juniper", "Larch", "Linden", "Lofty", "Maple",
    "Marble", "Misty", "Mossy", "Nimble", "Ochre", "Olive", "Pebble", "Plum", "Quiet", "Russet",
    "Saffron", "Slate", "Sorrel", "Spruce", "Tawny", "Teal", "Thistle", "Umber", "Willow", "Woven",
)  # fmt: skip
_NOUNS: Final = (
    "Abacus", "Anvil", "Basin", "Beacon", "Bobbin", "Brook", "Bugle", "Cairn", "Canoe", "Cobble",
    "Compass", "Cove", "Dynamo", "Easel", "Ferry", "Gable", "Garnet", "Glade", "Grove", "Gully",
    "Harbour", "Hatch", "Kettle", "Kiln", "Lantern", "Ledger", "Loom", "Meadow", "Mill", "Mortar",
    "Paddle", "Pantry", "Quarry", "Rudder", "Satchel", "Spindle", "Tiller", "Trellis", "Vault",
    "Wharf",
)  # fmt: skip


def generate_company_names(count: int, rng: Generator) -> list[str]:
    """Return ``count`` distinct company names."""
    pairs = [f"{first} {second}" for first in _ADJECTIVES for second in _NOUNS]
    order = [int(index) for index in rng.permutation(len(pairs))]
    rounds = -(-count // len(pairs))
    names = [pairs[index] + (f" {suffix + 1}" if suffix else "")
             for suffix in range(rounds) for index in order]  # fmt: skip
    return names[:count]

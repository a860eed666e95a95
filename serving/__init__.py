"""The serving layer: scoring, CRM delivery, live events, notifications, web page and CLI."""

__all__ = [
    "cli",
    "delivery",
    "events",
    "gc_freeze",
    "monitoring",
    "notify",
    "scoring",
    "store",
    "web",
]

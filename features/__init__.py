"""Feature layer: point-in-time features of every account."""

__all__ = [
    "activity",
    "catalogue",
    "online",
    "panel",
    "peer_percentiles",
    "point_in_time",
    "subscription_timeline",
]

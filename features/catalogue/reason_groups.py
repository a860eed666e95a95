"""Reason groups: related signals shown to a CSM as one reason.

Features that measure one thing share a signal group; related signal groups form a reason group.
Their contributions are added, so that three reasons state three different facts, and a retrain that
moves weight between correlated columns changes nothing.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["GROUP_BY_SIGNAL", "REASON_GROUPS", "ReasonGroup"]


@dataclass(frozen=True)
class ReasonGroup:
    """One reason that can be shown: signal groups whose contributions are added.

    A static one is a property of the account rather than a change; static reasons come last.
    """

    signals: tuple[str, ...]
    is_static: bool = False


REASON_GROUPS: Final[dict[str, ReasonGroup]] = {
    "seats": ReasonGroup(
        (
            "seat_utilization",
            "seat_days_high",
            "headroom",
            "people",
            "rolling_off",
            "plateau",
            "provisioned",
            "active_users",
            "seat_utilization_among_peers",
            "active_users_growth_90d_among_peers",
        )
    ),
    "newcomers": ReasonGroup(
        ("new_users", "new_user_recency", "seat_agreement", "new_users_per_seat_90d_among_peers")
    ),
    "usage": ReasonGroup(
        (
            "usage_ratio",
            "usage_days_to_limit",
            "usage_plateau",
            "api_volume",
            "api_early",
            "usage_spend",
            "usage_ratio_among_peers",
        )
    ),
    "adoption": ReasonGroup(
        (
            "features_in_use",
            "adoption",
            "first_uses",
            "recent_people",
            "champion",
            "spread",
            "advanced",
            "features_30d_among_peers",
            "plan_features",
        )
    ),
    "departments": ReasonGroup(("departments", "domains")),
    "activity": ReasonGroup(
        ("events", "events_spend", "active_days", "sessions", "stickiness", "power_users")
    ),
    "integrations": ReasonGroup(("integrations",)),
    "terms": ReasonGroup(
        ("tenure", "contract_age", "past_expansions", "past_cuts", "renewal", "ramp"),
        is_static=True,
    ),
    "size": ReasonGroup(
        ("licensed_seats", "plan", "mrr", "mrr_per_seat_among_peers"), is_static=True
    ),
    # The same for every account of a list: it contributes, but has no template.
    "calendar": ReasonGroup(("quarter_end", "year_end", "month"), is_static=True),
}
GROUP_BY_SIGNAL: Final[dict[str, str]] = {
    signal: name for name, story in REASON_GROUPS.items() for signal in story.signals
}

"""Stories: what a CSM is told as one reason, however many features it is made of.

Features that measure one thing share a signal; signals that tell of one thing share a story. Their
contributions are added, so that three sentences tell three different things, and a retrain that
moves weight from one column to its twin changes nothing.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["STORIES", "STORY_OF", "Story"]


@dataclass(frozen=True)
class Story:
    """One reason that can be told.

    Attributes
    ----------
    signals : tuple of str
        Whose contributions are added.
    circumstance : bool
        What an account is, rather than what happens there: told only after that.
    """

    signals: tuple[str, ...]
    circumstance: bool = False


STORIES: Final[dict[str, Story]] = {
    "seats": Story(
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
    "newcomers": Story(
        ("new_users", "new_user_recency", "seat_agreement", "new_users_per_seat_90d_among_peers")
    ),
    "usage": Story(
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
    "adoption": Story(
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
    "departments": Story(("departments", "domains")),
    "activity": Story(
        ("events", "events_spend", "active_days", "sessions", "stickiness", "power_users")
    ),
    "integrations": Story(("integrations",)),
    "terms": Story(
        ("tenure", "contract_age", "past_expansions", "past_cuts", "renewal", "ramp"),
        circumstance=True,
    ),
    "size": Story(("licensed_seats", "plan", "mrr", "mrr_per_seat_among_peers"), circumstance=True),
    # The same for every account on a list: it counts, and has no sentence.
    "calendar": Story(("quarter_end", "year_end", "month"), circumstance=True),
}
STORY_OF: Final[dict[str, str]] = {
    signal: name for name, story in STORIES.items() for signal in story.signals
}

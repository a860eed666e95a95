"""Talking points for each motion: general sales advice, one or two lines each."""

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["TALKING_POINTS"]

TALKING_POINTS: Final[Mapping[str, Sequence[str]]] = {
    "seat add": (
        "Ask who joins next, and by when",
        "Offer to add seats before new users are locked out",
    ),
    "volume upgrade": (
        "Ask the developers which API calls the next release will make, and how many",
        "Show usage against the limit; offer the plan that covers a year of it",
    ),
    "capabilities": (
        "Prepare a review: results of the existing teams, and plans of the new ones",
        "Ask the champion to invite the users who just started",
        "Ask which tasks they still do in other tools; discuss price in the next meeting",
    ),
    "consolidate": (
        "Make no offer: usage is high, but flat for a long time",
        "Look for a use case for another team",
    ),
    "retain": ("Ask what no longer works, and fix it", "Make no offer before it is resolved"),
    "cooldown": ("Review again after the cool-down",),
    "watch": (
        "Open with the first reason, and ask whether the trend will continue",
        "Ask about plans for the coming months, and record them",
    ),
}

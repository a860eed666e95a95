"""How to lead the conversation that a motion asks for: the trade's own advice, in a line or two."""

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["TALKING_POINTS"]

TALKING_POINTS: Final[Mapping[str, Sequence[str]]] = {
    "seat add": (
        "Ask who joins next, and by when",
        "Offer to add seats before somebody is turned away",
    ),
    "volume upgrade": (
        "Ask the developer what the next release will call, and how often",
        "Show the limit beside the trend; offer the plan that holds a year of it",
    ),
    "capabilities": (
        "Prepare a review: what the teams achieved, and what the new ones try",
        "Let the champion bring in whoever has just begun",
        "Ask what they still do elsewhere; leave the price for the next meeting",
    ),
    "consolidate": (
        "Make no offer: use is high, and has long been flat",
        "Look for a use case that another team would begin with",
    ),
    "retain": ("Ask what no longer works, and mend it", "Make no offer before that is settled"),
    "rest": ("Look again when the rest is over",),
    "watch": (
        "Open with the first reason, and ask whether it will go on",
        "Ask what is planned for the coming months, and note it",
    ),
}

"""How to lead the conversation that a motion asks for: the trade's own advice, in a line or two."""

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["POINTS"]

POINTS: Final[Mapping[str, Sequence[str]]] = {
    "seat add": (
        "It is logistics, not persuasion: ask who joins next, and by when",
        "Offer to add seats before somebody is turned away",
        "Settle it within two weeks",
    ),
    "volume upgrade": (
        "Ask the developer what the next release will call, and how often",
        "Show the limit beside the trend; offer the plan that holds a year of it",
        "Settle it within two weeks",
    ),
    "capabilities": (
        "Prepare a review: what the teams achieved, and what the new ones try",
        "Let the champion bring in whoever has just begun",
        "Ask what they still do elsewhere; leave the price for the next meeting",
    ),
    "consolidate": (
        "Make no offer: use is high and has long been flat",
        "Look for a use case that another team would begin with",
    ),
    "retain": (
        "First keep them: ask what no longer works, and mend it",
        "Make no offer before that is settled",
    ),
    "rest": ("Somebody is on it: leave it to them", "Look again when the rest is over"),
    "watch": (
        "No rule of thumb fires; let the date and the reasons lead",
        "Ask what is planned for the coming months, and note it",
    ),
}

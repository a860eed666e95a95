"""The catalogue as a page that a person can read."""

from itertools import groupby

from features.catalogue import FEATURES, STORIES, STORY_OF, sentences
from features.feature import Feature

__all__ = ["markdown", "rows"]

_DIRECTIONS = {1: "up", -1: "down", 0: ""}


def rows() -> list[dict[str, object]]:
    """Describe every feature with plain values, in the order of the catalogue."""
    return [
        {
            "name": feature.name,
            "family": feature.family,
            "unit": feature.unit,
            "window": _window(feature),
            "silence": feature.silence,
            "direction": feature.direction,
            "needs": feature.needs,
            "signal": feature.signal,
            "story": STORY_OF.get(feature.signal),
        }
        for feature in FEATURES
    ]


def markdown() -> str:
    """Describe the catalogue as Markdown, a table per family.

    Returns
    -------
    str
        Ends with a line break.
    """
    parts = [
        "# The catalogue of features\n",
        "Made by `make docs` from `features/catalogue/`; do not edit.\n",
        "*Looks back*: the days before the as-of that the value needs; a window that starts before"
        " the log does is missing. *Silence*: the value when nothing was seen. *Acts*: how it"
        " is expected to act, all else equal; `model.held` names those that the model is held to."
        " *Signal*: the features that measure one thing. Signals that tell of one thing share a"
        " *story*: what a CSM reads as one sentence (below).\n",
    ]
    for family, members in groupby(FEATURES, key=lambda feature: feature.family):
        parts.append(f"## {family}\n")
        parts.append("| feature | unit | looks back | silence | acts | needs | signal |")
        parts.append("|---|---|---|---|---|---|---|")
        parts += [_line(feature) for feature in members]
        parts.append("")
    parts += ["## stories\n", "| story | signals | |", "|---|---|---|"]
    parts += [_story(name) for name in STORIES]
    parts += ["", "## sentences\n", "```toml", sentences.text().rstrip(), "```"]
    return "\n".join(parts) + "\n"


def _story(name: str) -> str:
    story = STORIES[name]
    signals = ", ".join(map(_words, story.signals))
    return f"| {name} | {signals} | {'what it is: told last' if story.circumstance else ''} |"


def _words(signal: str) -> str:
    return signal.replace("_", " ")


def _line(feature: Feature) -> str:
    cells = (
        f"`{feature.name}`",
        feature.unit,
        _window(feature),
        "missing" if feature.silence is None else f"{feature.silence:g}",
        _DIRECTIONS[feature.direction],
        feature.needs or "",
        _words(feature.signal),
    )
    return f"| {' | '.join(cells)} |"


def _window(feature: Feature) -> str:
    days = f"{feature.window_days} d" if feature.window_days else ""
    seat = "seat window" if feature.seat_window else ""
    return " + ".join(filter(None, (days, seat)))

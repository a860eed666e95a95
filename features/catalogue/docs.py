"""The catalogue as a page that a person can read."""

from itertools import groupby

from features.catalogue import FEATURES, GROUP_BY_SIGNAL, REASON_GROUPS, reason_templates
from features.catalogue.feature import Feature

__all__ = ["describe_features", "render_markdown"]

_DIRECTIONS = {1: "up", -1: "down", 0: ""}


def describe_features() -> list[dict[str, object]]:
    """Describe every feature with plain values, in the order of the catalogue."""
    return [
        {
            "name": feature.name,
            "family": feature.family,
            "unit": feature.unit,
            "window": _format_window(feature),
            "silence": feature.fill_value,
            "direction": feature.direction,
            "needs": feature.requires,
            "signal": feature.signal_group,
            "story": GROUP_BY_SIGNAL.get(feature.signal_group),
        }
        for feature in FEATURES
    ]


def render_markdown() -> str:
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
        " is expected to act, all else equal; `model.monotone_features` names those that the model is held to."
        " *Signal*: the features that measure one thing. Signals that tell of one thing share a"
        " *story*: what a CSM reads as one sentence (below).\n",
    ]
    for family, members in groupby(FEATURES, key=lambda feature: feature.family):
        parts.append(f"## {family}\n")
        parts.append("| feature | unit | looks back | silence | acts | needs | signal |")
        parts.append("|---|---|---|---|---|---|---|")
        parts += [_render_row(feature) for feature in members]
        parts.append("")
    parts += ["## stories\n", "| story | signals | |", "|---|---|---|"]
    parts += [_render_reason_group(name) for name in REASON_GROUPS]
    parts += ["", "## sentences\n", "```toml", reason_templates.read_text().rstrip(), "```"]
    return "\n".join(parts) + "\n"


def _render_reason_group(name: str) -> str:
    story = REASON_GROUPS[name]
    signals = ", ".join(map(_humanize, story.signals))
    return f"| {name} | {signals} | {'what it is: told last' if story.is_static else ''} |"


def _humanize(signal: str) -> str:
    return signal.replace("_", " ")


def _render_row(feature: Feature) -> str:
    cells = (
        f"`{feature.name}`",
        feature.unit,
        _format_window(feature),
        "missing" if feature.fill_value is None else f"{feature.fill_value:g}",
        _DIRECTIONS[feature.direction],
        feature.requires or "",
        _humanize(feature.signal_group),
    )
    return f"| {' | '.join(cells)} |"


def _format_window(feature: Feature) -> str:
    days = f"{feature.window_days} d" if feature.window_days else ""
    seat = "seat window" if feature.seat_window else ""
    return " + ".join(filter(None, (days, seat)))

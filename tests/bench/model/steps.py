"""The steps that are run in a process of their own, by name."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dates
import known_truth
import panels
import served
import shown_state
import shuffled
import speed
import stability
import told_truth
import true_dates
import walks

__all__ = ["main"]

Step = Callable[[list[str], Path, bool], dict[str, Any]]

_STEPS: dict[str, Step] = {
    "panels": lambda told, folder, _: panels.make(told[0], folder, tuple(map(int, told[1:]))),
    "walk": lambda told, folder, smoke: walks.walk(
        told[0], folder, smoke=smoke, explained=told[1:] == ["explained"]
    ),
    "figures": lambda told, folder, _: walks.figures(told[0], folder),
    "true probability": lambda told, folder, _: known_truth.probability(told[0], folder),
    "shown state": lambda told, folder, smoke: shown_state.shown_state(
        told[0], folder, smoke=smoke
    ),
    "told truth": lambda told, folder, smoke: told_truth.told_truth(told[0], folder, smoke=smoke),
    "drivers": lambda told, folder, _: known_truth.drivers(told[0], folder),
    "dates": lambda told, folder, _: dates.dates(told[0], folder),
    "true dates": lambda told, folder, _: true_dates.true_dates(told[0], folder),
    "sums": lambda told, folder, _: walks.sums(told[0], folder),
    "stability": lambda told, folder, smoke: stability.stability(told[0], folder, smoke=smoke),
    "served": lambda told, folder, _: served.served(told, folder),
    "shuffled": lambda told, folder, smoke: shuffled.shuffled(
        told[0], folder, int(told[1]), smoke=smoke
    ),
    "our fit": lambda told, _, smoke: speed.ours(int(told[0]), smoke=smoke),
    "LightGBM's train": lambda told, _, smoke: speed.theirs(int(told[0]), smoke=smoke),
    "code": lambda *_: {"panels": panels.code()},
}


def main(name: str, told: list[str], folder: Path, *, smoke: bool) -> None:
    """Run one step and print what it found as one line of JSON."""
    sys.stdout.write(json.dumps(_STEPS[name](told, folder, smoke)) + "\n")

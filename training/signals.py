"""Contributions to the shown number, told as the sentences a CSM reads.

Features that measure one thing share a signal, and signals that tell of one thing a story; their
exact TreeSHAP contributions are added. A story that pushed the number up is told as a reason, one
that pushed it down as what holds back, each with the facts behind it: never a reason that reads as
its opposite. What happens at an account is told before what it is. The controls never appear.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import NAMES, STORIES, STORY_OF, by_name
from training import frames, wording
from training.model import Propensity, Snapshots
from training.simple import Simple
from training.wording import Way, Wording

__all__ = ["Explanation", "explain"]

_AT_ONCE: Final = 10_000  # snapshots whose contributions are held at once, feature by feature

Array = NDArray[np.float64]
Told = list[list[str]]


@dataclass(frozen=True)
class Explanation:
    """Why each snapshot is scored as it is.

    Attributes
    ----------
    base : numpy.ndarray, shape (n,)
        Expected margin before anything is known of the account.
    signals : tuple of str
        The columns of ``parts``.
    parts : numpy.ndarray, shape (n, n_signals)
        What each signal adds to the margin; with the base they add up to it.
    sentences : list of list of str
        The stories that pushed the number up most, as sentences, most important first, what an
        account is after what happens there. A story without a fact to tell is not told, though it
        counted.
    holds_back : list of list of str
        The same of the stories that pushed it down most.
    stories : list of list of str
        The names of the stories that ``sentences`` tell.
    """

    base: Array
    signals: tuple[str, ...]
    parts: Array
    sentences: Told
    holds_back: Told
    stories: Told

    def __repr__(self) -> str:
        return f"Explanation(of {len(self.base):,} snapshots by {len(self.signals)} signals)"

    @cached_property
    def contributions(self) -> list[dict[str, float]]:
        """Signal → contribution to the margin of each snapshot, largest first."""
        order = np.argsort(-self.parts, axis=1, kind="stable")
        return [
            {self.signals[place]: float(row[place]) for place in ranked}
            for row, ranked in zip(self.parts, order, strict=True)
        ]

    def as_json(self) -> pl.Series:
        """Signal → contribution of each snapshot, as JSON texts: for many snapshots at once."""
        columns = {name: self.parts[:, place] for place, name in enumerate(self.signals)}
        return pl.DataFrame(columns).select(it=pl.struct(pl.all()).struct.json_encode())["it"]


def explain(
    model: Propensity | Simple,
    snapshots: Snapshots,
    *,
    most: int = 3,
    most_back: int = 2,
    words: Wording | None = None,
) -> Explanation:
    """Explain the probability of each snapshot.

    Parameters
    ----------
    model : Propensity or Simple
        What scored them.
    snapshots : polars.DataFrame or pandas.DataFrame
        Rows of a :class:`features.panel.Panel`.
    most, most_back : int
        Sentences per snapshot, at most: of what pushed up, and of what holds back.
    words : training.wording.Wording, optional
        The company's own; by default those that come with the program.

    Returns
    -------
    Explanation
        In the order of the snapshots.
    """
    told = words or wording.default()
    signals = tuple(sorted({by_name[name].signal for name in model.inputs}))
    base, parts = _added(model, snapshots, signals)
    stories = sorted({STORY_OF[name] for name in signals}, key=list(STORIES).index)
    pushed = _grouped(parts, [STORY_OF[name] for name in signals], stories)
    facts = frames.taken(snapshots, NAMES).fill_nan(None)
    sentences, named = _Teller(stories, "raises", most, told)(pushed, facts)
    holds_back, _ = _Teller(stories, "holds", most_back, told)(-pushed, facts)
    return Explanation(base, signals, parts, sentences, holds_back, named)


def _added(
    model: Propensity | Simple, snapshots: Snapshots, signals: Sequence[str]
) -> tuple[Array, Array]:
    """Base, and contributions added by signal, in pieces that memory does not feel."""
    of = [by_name[name].signal for name in model.inputs]
    if isinstance(model, Simple):  # its places are among all that are compared with each other
        parts, base = model.contributions(snapshots)
        return base, _grouped(parts, of, signals)
    matrix = frames.taken(snapshots, model.inputs)
    pieces = [
        model.contributions(matrix.slice(start, _AT_ONCE))
        for start in range(0, matrix.height, _AT_ONCE)
    ]
    base = np.concatenate([base for _, base in pieces])
    return base, np.concatenate([_grouped(parts, of, signals) for parts, _ in pieces])


def _grouped(parts: Array, of: Sequence[str], groups: Sequence[str]) -> Array:
    """Add the columns of each group, one after the other: the same bytes in pieces of any size."""
    added = np.zeros((len(parts), len(groups)))
    for column, group in enumerate(of):
        added[:, groups.index(group)] += parts[:, column]
    return added


@dataclass(frozen=True)
class _Teller:
    """Tells the stories that push one way."""

    stories: list[str]
    way: Way
    most: int
    words: Wording

    def __call__(self, pushed: Array, facts: pl.DataFrame) -> tuple[Told, Told]:
        """Give sentences and their stories for each row, down its ranks."""
        late = np.array([STORIES[name].circumstance for name in self.stories])
        order = np.lexsort((-pushed, np.broadcast_to(late, pushed.shape)), axis=1)
        sentences: Told = [[] for _ in range(len(pushed))]
        names: Told = [[] for _ in range(len(pushed))]
        waiting = np.arange(len(pushed))
        for rank in range(len(self.stories)):
            for place in np.unique(order[waiting, rank]):
                rows = waiting[(order[waiting, rank] == place) & (pushed[waiting, place] > 0)]
                story = self.stories[place]
                for row, text in zip(rows, self._told(story, rows, facts), strict=True):
                    if text:
                        sentences[row].append(text)
                        names[row].append(story)
            short = [len(sentences[row]) < self.most for row in waiting]
            waiting = waiting[np.array(short, dtype=bool)]
        return sentences, names

    def _told(self, story: str, rows: NDArray[np.int64], facts: pl.DataFrame) -> list[str]:
        names = self.words.facts(story, self.way)
        asked = facts.select(names)[rows].rows() if names else [()] * len(rows)
        return self.words.told(story, self.way, asked)

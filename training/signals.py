"""Contributions to the shown number, told as the sentences a CSM reads.

Features that tell one story share a signal; their exact TreeSHAP contributions are added, and the
sentence says the facts behind it. The controls and the calendar never appear as what they are not:
a signal is shown only when it pushed the number up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from features.catalogue import NAMES, SIGNALS, by_name
from training import frames
from training.model import Propensity, Snapshots
from training.simple import Simple

__all__ = ["Explanation", "explain", "sentence"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """Why each snapshot is scored as it is.

    Attributes
    ----------
    base : numpy.ndarray, shape (n,)
        Expected margin before anything is known of the account.
    contributions : list of dict of str to float
        Signal → contribution to the margin, largest first; with the base they add up to the margin.
    sentences : list of list of str
        The signals that pushed the number up most, as sentences, most important first. A signal of
        which nothing is known is not told, though its absence may have counted.
    """

    base: Array
    contributions: list[dict[str, float]]
    sentences: list[list[str]]

    def __repr__(self) -> str:
        kinds = len(self.contributions[0]) if self.contributions else 0
        return f"Explanation(of {len(self.base):,} snapshots by {kinds} signals)"


def explain(model: Propensity | Simple, snapshots: Snapshots, *, most: int = 3) -> Explanation:
    """Explain the probability of each snapshot.

    Parameters
    ----------
    model : Propensity or Simple
        What scored them.
    snapshots : polars.DataFrame or pandas.DataFrame
        Rows of a :class:`features.panel.Panel`.
    most : int
        Sentences per snapshot, at most.

    Returns
    -------
    Explanation
        In the order of the snapshots.
    """
    parts, base = model.contributions(snapshots)
    names = sorted({by_name[name].signal for name in model.inputs})
    grouped = parts @ _membership(model.inputs, names)
    order = np.argsort(-grouped, axis=1, kind="stable")
    values = frames.taken(snapshots, NAMES).rows(named=True)
    contributions, sentences = [], []
    for row, ranked, facts in zip(grouped, order, values, strict=True):
        contributions.append({names[i]: float(row[i]) for i in ranked})
        rising = (sentence(names[i], facts) for i in ranked if row[i] > 0)
        sentences.append(list(islice(filter(None, rising), most)))
    return Explanation(base, contributions, sentences)


def sentence(signal: str, facts: Mapping[str, float | None]) -> str:
    """Tell a signal with its numbers; the empty string where its facts are not known.

    Parameters
    ----------
    signal : str
        A key of :data:`features.catalogue.SIGNALS`.
    facts : mapping of str to float or None
        Feature name → value of the snapshot.

    Examples
    --------
    >>> facts = {"active_seats": 41.0, "licensed_seats": 45.0, "active_seats_90d_ago": 27.0}
    >>> sentence("seat_utilization", facts)
    '41 of 45 seats active, up from 27 three months ago'
    """
    if any(facts[name] is None for name in SIGNALS[signal].facts):
        return ""
    text = _template(signal).render(facts).strip()
    return text[0].upper() + text[1:] if text[:1].isalpha() else text


def _membership(inputs: Sequence[str], signals: Sequence[str]) -> Array:
    """A matrix that adds the contributions of each signal's features."""
    matrix = np.zeros((len(inputs), len(signals)))
    for row, name in enumerate(inputs):
        matrix[row, signals.index(by_name[name].signal)] = 1.0
    return matrix


def _number(value: float | None) -> str:
    if value is None:
        return "an unknown number"
    return f"{value:,.0f}" if abs(value) >= 9.95 else f"{value:.1f}".removesuffix(".0")


def _count(value: float | None, noun: str = "person") -> str:
    if value is None:
        return f"an unknown number of {_plural(noun)}"
    shown = _number(value)
    return f"{'no' if shown == '0' else shown} {noun if shown == '1' else _plural(noun)}"


def _plural(noun: str) -> str:
    return {"person": "people"}.get(noun, f"{noun}s")


def _percent(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.0%}"


def _trend(now: float | None, before: float | None, when: str, show: Any = _number) -> str:  # noqa: ANN401
    if now is None or before is None:
        return ""
    if show(now) == show(before):
        return f", as {when}"
    return f", {'up' if now > before else 'down'} from {show(before)} {when}"


def _months(days: float | None) -> str:
    if days is None:
        return "an unknown time"
    if days < 60:
        return _count(days, "day")
    return _count(days // 30.4375, "month") if days < 731 else _count(days // 365.25, "year")


def _days_ago(days: float | None) -> str:
    if days is None:
        return "at an unknown time"
    return "yesterday" if days <= 1 else f"{_count(days, 'day')} ago"


def _times(count: float | None) -> str:
    return {0.0: "never", 1.0: "once", 2.0: "twice"}.get(count or 0.0, f"{_number(count)} times")


_WORDS = {
    "n": _number,
    "people": _count,
    "percent": _percent,
    "trend": _trend,
    "trend_percent": lambda now, before, when: _trend(now, before, when, _percent),
    "months": _months,
    "days_ago": _days_ago,
    "times": _times,
}


@cache
def _template(signal: str) -> jinja2.Template:
    # Plain text for a CRM field: a page that shows it escapes it there.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701
    environment.globals.update(_WORDS)
    return environment.from_string(SIGNALS[signal].says)

"""The page that tells what the gate lets through."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import beta

__all__ = ["EDGE", "markdown"]

_MOST_NULLS = 0.05
_LEAST_POWER = 0.70
_MOST_AT_THE_EDGE = 0.10
EDGE = "model .687, rule .72: just as much worse as is tolerated"
_HEAD = """\
# What the gate lets through

Written by `make bench-gate`; how it rules stands in `training/promotion/gate.py`.
"""
_HOW = """\
## How it is measured

- *Null models*: contracts, outcomes and the rules' columns of simulated companies of 200 to 2,000
  accounts (36 months); the model reads 24 columns of noise, half of it lasting per account. Two
  boosters of 60 trees: the less a model of noise fits, the nearer it stays to the base rate, and
  the likelier chance lifts it above. With the defaults and noise in every column a few are run
  beside it.
- *A model of AUROC .80 against a rule of .72*: scores that are normal around the outcome, 200
  accounts, 85 % of them eligible at an as-of, 7 % of the snapshots expand, eight judged as-ofs, two
  cuts. Accounts differ in how readily they expand, months in how many do; half of a score's noise
  lasts per account, and model and rule share some of it (correlation .3; 0 where they are said not
  to be alike). Probabilities are calibrated. With .687 the precision at capacity is nine tenths of
  the rule's.
- *The served list*: on three as-ofs after the ruling, the precision at capacity (20 accounts) of
  what is served less that of the rule. A refused model leaves the rule, so only promoted ones can
  lose.
- *Outcomes dealt anew*: whole contract histories go to other accounts, as in `make bench-model`,
  with two boosters and a refit every 24 months.
- In brackets 90 % intervals; of a share Clopper and Pearson's, of a mean over companies.
"""


def markdown(kept: Mapping[str, Any]) -> str:
    """Tell every section that was measured."""
    rows = [*_nulls(kept), *_power(kept), *_served(kept), *_real(kept)]
    table = ["| what | target | measured | |", "|---|---|---|---|"]
    table += [f"| {' | '.join(row)} |" for row in rows]
    parts = [_HEAD, "\n".join(table), _cases(kept), _sentences(kept), _HOW, _when(kept)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _nulls(kept: Mapping[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for section, what in {
        "nulls": "null models, simulated companies",
        "defaults": "the same with default settings and noise in every column",
    }.items():
        each = kept.get(section, {"found": {"each": []}})["found"]["each"]
        if each:
            passed = [one["passes"] for one in each]
            met = _mark(np.mean(passed) <= _MOST_NULLS)
            rows.append((what, f"promoted in at most {_MOST_NULLS:.0%}", _share(passed), met))
    return rows


def _power(kept: Mapping[str, Any]) -> list[tuple[str, ...]]:
    if "known" not in kept:
        return []
    name, each = next(iter(kept["known"]["found"].items()))
    passed = [one["passes"] for one in each]
    met = _mark(np.mean(passed) >= _LEAST_POWER)
    rows = [(f"{name}, n = 200", f"promoted in at least {_LEAST_POWER:.0%}", _share(passed), met)]
    edge = [one["passes"] for one in kept["known"]["found"][EDGE]]
    met = _mark(np.mean(edge) <= _MOST_AT_THE_EDGE)
    rows.append((EDGE, f"promoted in at most {_MOST_AT_THE_EDGE:.0%}", _share(edge), met))
    return rows


def _served(kept: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Over every company there is: is what is served worse afterwards than the rule?"""
    each = list(kept.get("nulls", {"found": {"each": []}})["found"]["each"])
    each += [one for case in kept.get("known", {"found": {}})["found"].values() for one in case]
    if not each:
        return []
    later = np.array([one["later"] for one in each])
    value, low, high = _mean(later)
    told = f"{value:+.1%} ({low:+.1%} to {high:+.1%}), {len(later):,} companies"
    rows = [
        (
            "served list less the rule at capacity, later",
            "not worse beyond noise",
            told,
            _mark(high >= 0),
        )
    ]
    for name, found in kept.get("known", {"found": {}})["found"].items():
        promoted = np.array([one["later"] for one in found if one["passes"]])
        if len(promoted) > 1:
            value, low, high = _mean(promoted)
            told = f"{value:+.1%} ({low:+.1%} to {high:+.1%}), {len(promoted):,} promoted"
            rows.append((f"of these promoted: {name}", "the same", told, _mark(high >= 0)))
    return rows


def _real(kept: Mapping[str, Any]) -> list[tuple[str, ...]]:
    found = kept.get("real", {"found": {}})["found"]
    return [
        (
            name,
            "refused, in one sentence",
            "promoted" if ruling["passes"] else "refused",
            _mark(not ruling["passes"] and ruling["sentence"].count(". ") == 0),
        )
        for name, ruling in found.items()
    ]


def _cases(kept: Mapping[str, Any]) -> str:
    if "known" not in kept:
        return ""
    rows = ["## Models and rules of known AUROC", "", "| case | promoted |", "|---|---|"]
    rows += [
        f"| {name} | {_share([one['passes'] for one in each])} |"
        for name, each in kept["known"]["found"].items()
    ]
    return "\n".join(rows)


def _sentences(kept: Mapping[str, Any]) -> str:
    found = kept.get("real", {"found": {}})["found"]
    if not found:
        return ""
    told = [f"- {name}: {ruling['sentence']}" for name, ruling in found.items()]
    return "\n".join(["## What it says", "", *told])


def _when(kept: Mapping[str, Any]) -> str:
    told = [
        f"- {name}: {each['at']}, commit {each['commit']}"
        f"{' and what was changed since' if each['changed'] else ''}, {each['seconds']:,.0f} s"
        for name, each in kept.items()
    ]
    return "\n".join(["## When", "", *told])


def _share(passed: Sequence[bool]) -> str:
    count, total = sum(passed), len(passed)
    low = beta.ppf(0.05, count, total - count + 1) if count else 0.0
    high = beta.ppf(0.95, count + 1, total - count) if count < total else 1.0
    return f"{count} of {total}: {count / total:.1%} ({low:.1%} to {high:.1%})"


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    """The mean over companies, and its 90 % interval."""
    error = 1.645 * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(values.mean()), float(values.mean() - error), float(values.mean() + error)


def _mark(met: object) -> str:
    return "met" if met else "missed"

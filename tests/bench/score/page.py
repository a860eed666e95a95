"""The figures as a page that a person can read. Imports nothing heavy: see ``run``."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

_LIBRARIES = ("polars", "lightgbm", "sqlalchemy")
_SCORED = (
    "probability and curve",
    "chance to leave",
    "dates",
    "contributions",
    "sentences",
    "line, ranks, notes",
)


def markdown(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Write the page; every number on it comes from the two runs."""
    return "\n".join(
        [
            "# What a list costs\n",
            "Made by `make bench-score`; do not edit.\n",
            f"{datetime.now(UTC):%Y-%m-%d}, {ours['rows']:,} accounts with all features of the"
            f" catalogue, {_machine()}. Each side in a process of its own, one after the other.\n",
            *_table(("figure", "target", "measured", ""), _targets(ours, theirs)),
            "## Step by step\n",
            *_table(
                ("step", "seconds", "CPU seconds", "of LightGBM's own", "peak GB by its end"),
                _steps(ours, theirs),
            ),
            _WORDS.format(**theirs, mb=ours["database_bytes"] / 1e6, **_counts(ours)),
        ]
    )


def _targets(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    own = _sum(theirs, theirs["steps"])
    scored, whole = _sum(ours, _SCORED), _sum(ours, ours["steps"])
    peak = ours["peak_bytes"] / 2**30
    yield (
        "the whole, from features to the embedded CRM, CPU",
        "at most 2 × LightGBM's own",
        f"{whole / own:.2f} × ({whole:.0f} s against {own:.0f} s)",
        _met(whole <= 2 * own),
    )
    yield ("of it the list itself, CPU", "", f"{scored / own:.2f} × ({scored:.0f} s)", "")
    yield (
        "the whole, on the wall",
        "",
        f"{ours['seconds']:.0f} s against {theirs['seconds']:.0f} s",
        "",
    )
    yield ("memory at its peak", "at most 2 GB", f"{peak:.2f} GB", _met(peak <= 2))


def _steps(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    own = _sum(theirs, theirs["steps"])
    for found, named in ((ours, "{}"), (theirs, "LightGBM's own {}")):
        for label, step in found["steps"].items():
            told = (f"{step[kind]:.1f}" for kind in ("seconds", "cpu_seconds"))
            share = f"{step['cpu_seconds'] / own:.2f}"
            yield (named.format(label), *told, share, f"{step['peak_bytes'] / 2**30:.2f}")


def _counts(ours: Mapping[str, Any]) -> dict[str, str]:
    return {
        "told": f"{ours['sentences']:,}",
        "before": f"{ours['peak_before_bytes'] / 2**30:.2f}",
        "accounts": f"{ours['rows']:,}",
    }


def _sum(found: Mapping[str, Any], labels: Iterable[str]) -> float:
    return sum(float(found["steps"][label]["cpu_seconds"]) for label in labels)


def _met(met: bool) -> str:
    return "met" if met else "missed"


def _table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    names = tuple(head)
    lines = [names, ("---",) * len(names), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def _machine() -> str:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} CPUs, {memory:.0f} GB, Python {platform.python_version()},"
        f" {', '.join(versions)}"
    )


_WORDS = """\
## What is compared

- *The accounts* are the snapshots of simulated companies, every month of every account as an
  account of its own: no row is a copy of another. The features are given; what they cost is told
  in [docs/measured/feature-speed.md](../features/SPEED.md). The models were trained on the first company.
- *Ours* is what `expansion score` does from there: the same functions, with clocks around them. It
  tells {told} sentences of {accounts} accounts, writes the list, the outbox and the embedded CRM
  into one SQLite database ({mb:,.0f} MB), and reads back what stands there before it writes.
- *LightGBM's own* is `predict` and `predict(pred_contrib=True)`, once each, of the same {boosters}
  boosters of {trees} trees on the same rows. It gives one horizon's margin and its contributions:
  no curve, no regression, no chance to leave, no list.
- *CPU seconds* are compared, since they do not depend on what else the machine does. Memory is that
  of the whole process; {before} GB of it are the libraries, the models and the features.
"""

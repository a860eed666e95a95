"""The figures as a page that a person can read. Imports nothing heavy: see ``run``."""

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

_LIBRARIES = ("polars", "duckdb", "pandas")
_LOGS = {
    "hard": "the hard log",
    "tenth": "a tenth of the hard log",
    "simulated": "the simulator's log",
}
_FLAT = 1.1  # times as much is still flat
Found = Mapping[str, Mapping[str, Mapping[str, Any]]]


def markdown(found: Found, events: int) -> str:
    """Write the page; every number on it comes from ``found``.

    Parameters
    ----------
    found : mapping of str to mapping
        From ``run.measure``.
    events : int
        That were asked for.
    """
    return "\n".join(
        [
            "# What the features cost\n",
            "Made by `make bench-features`; do not edit.\n",
            f"{datetime.now(UTC):%Y-%m-%d}, {events / 1e6:,.0f} M events in 24 monthly Parquet"
            f" files, {_machine()}. Every step in a process of its own, files in the page cache.\n",
            *_table(("figure", "target", "measured", "", "log"), _targets(found)),
            _explained(found),
            "## Seconds and memory\n",
            *_table(
                ("step", "log", "seconds", "of them log", "CPU seconds", "peak GB"), _seconds(found)
            ),
            "## Where the time of the whole build goes\n",
            "A run of its own on the hard log, with a clock around every function: the seconds that"
            " are its own, without those of the functions it calls.\n",
            *_table(("function", "calls", "seconds"), _profile(found["hard"]["profile"])),
            "## The logs\n",
            *_table(
                ("log", "events", "MB per M events", "cache, MB per M events", "daily rows"),
                _logs(found),
            ),
            _WORDS.format(**found["tenth"]["pandas"]),
        ]
    )


def _machine() -> str:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} CPUs, {memory:.0f} GB, Python {platform.python_version()},"
        f" {', '.join(versions)}"
    )


def _targets(found: Found) -> Iterable[tuple[str, ...]]:
    hard, tenth, simulated = found["hard"], found["tenth"], found["simulated"]
    build, small = hard["whole"], tenth["whole"]
    pandas = tenth["pandas"]["seconds"] * 10
    for log, steps in (("hard", hard), ("simulated", simulated)):
        ours = steps["whole"]["seconds"]
        yield _row("whole build ÷ bare scan", 15, ours / steps["scan"]["seconds"], log)
        yield _row("whole build ÷ DuckDB", 0.8, ours / steps["duckdb"]["seconds"], log)
        yield _row("peak memory, GB", 3, steps["whole"]["peak_bytes"] / 1e9, log)
    yield _row("whole build ÷ pandas (a tenth, × 10)", 0.1, build["seconds"] / pandas, "hard")
    yield _row("ten times the events, × the time", 11, build["seconds"] / small["seconds"], "hard")
    # Apart from the panel itself, which is the output.
    flat = [(each["peak_bytes"] - each["output_bytes"]) / 1e9 for each in (small, build)]
    told = f"{flat[0]:.2f} → {flat[1]:.2f} GB, × {flat[1] / flat[0]:.2f}"
    verdict = "met" if flat[1] <= _FLAT * flat[0] else "**missed**"
    yield ("ten times the events, memory", "flat", told, verdict, _LOGS["hard"])
    weekly, late = hard["weekly"], hard["late"]
    share = weekly["seconds"] / build["seconds"]
    yield _row("weekly run ÷ whole build", 0.1, share, "hard", places=3)
    yield _rebuilt("partitions rebuilt, weekly run", weekly)
    yield _rebuilt("partitions rebuilt, one file late", late)


def _row(name: str, target: float, value: float, log: str, *, places: int = 2) -> tuple[str, ...]:
    verdict = "met" if value <= target else "**missed**"
    return (name, f"≤ {target:g}", f"{value:.{places}f}", verdict, _LOGS[log])


def _rebuilt(name: str, step: Mapping[str, Any]) -> tuple[str, ...]:
    verdict = "met" if step["rebuilt"] == 1 else "**missed**"
    return (name, "1", str(step["rebuilt"]), verdict, _LOGS["hard"])


def _seconds(found: Found) -> Iterable[tuple[str, ...]]:
    for log, steps in found.items():
        for name, step in steps.items():
            if "seconds" not in step:  # the profile, which has clocks everywhere
                continue
            of_log = step.get("activity_seconds")
            yield (
                _STEPS[name],
                _LOGS[log],
                f"{step['seconds']:.1f}",
                "" if of_log is None else f"{of_log:.1f}",
                f"{step['cpu_seconds']:.1f}",
                f"{step['peak_bytes'] / 1e9:.2f}",
            )


def _logs(found: Found) -> Iterable[tuple[str, ...]]:
    for log, steps in found.items():
        whole = steps["whole"]
        rows = ", ".join(f"{name} {count:,}" for name, count in whole["daily_rows"].items())
        per_million = [whole[kind] / whole["events"] for kind in ("log_bytes", "cache_bytes")]
        told = (f"{bytes_per_event:.1f}" for bytes_per_event in per_million)
        yield (_LOGS[log], f"{whole['events']:,}", *told, rows)


def _profile(step: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    for name, calls, own in step["functions"]:
        yield (f"`{name}`", f"{calls:,.0f}", f"{own:.1f}")


def _table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> list[str]:
    names = tuple(head)
    lines = [names, ("---",) * len(names), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def _explained(found: Found) -> str:
    whole = found["hard"]["whole"]
    ways = {log: found[log]["scan"]["ways"] for log in ("hard", "simulated")}
    scans = "; ".join(
        f"{_LOGS[log]}: " + ", ".join(f"{way} {seconds:.1f} s" for way, seconds in each.items())
        for log, each in ways.items()
    )
    return f"""\
The whole build starts with an empty cache and makes {whole["features"]} features at 24 as-ofs,
{whole["snapshots"]:,} snapshots of the hard log. The scan decodes the eight columns we need, file
by file; of two ways the cheaper counts ({scans}).

{_bounds(found["hard"])}

One file late: {found["hard"]["late"]["seconds"]:.1f} s to read the log again.

{_week(found["hard"]["weekly"])}
"""


def _bounds(hard: Mapping[str, Any]) -> str:
    whole, scan = hard["whole"], hard["scan"]["seconds"]
    return f"""\
A bare scan only decodes; DuckDB, which judges no row and keeps nothing, needs
{hard["duckdb"]["seconds"] / scan:.0f} × its time for the same tables. Of ours
{whole["activity_seconds"]:.0f} s of {whole["seconds"]:.0f} make the daily tables: grouping the
events of each file, numbering its names, looking for copies (see below where). Memory follows the
largest file, which is read as a whole, far more than the log."""


def _week(weekly: Mapping[str, Any]) -> str:
    return f"""\
The weekly run reads the new file in {weekly["activity_seconds"]:.1f} s and makes the panel in
{weekly["panel_seconds"]:.1f} s, of which folding the daily tables takes
{weekly["fold_seconds"]:.1f} s: the 30-day months of this week end on other days than last
week's, so every month that a feature looks at is counted anew. That bounds it; older months are
not read again, however long the log."""


_STEPS = {
    "scan": "bare scan",
    "whole": "whole build",
    "duckdb": "the same in DuckDB",
    "pandas": "a part of it in pandas",
    "weekly": "weekly run",
    "late": "one file late: the log read again",
}
_WORDS = """\
## What is compared

- *The hard log* is made to compress badly: 4,000 accounts, 150,000 people of very uneven use, 40
  features, hexadecimal names, every event under an id of its own, 2 % known late, 0.1 % delivered
  twice. *The simulator's log* is what `expansion simulate` writes for as many accounts as give
  about as many events in 24 months.
- *DuckDB* makes the same daily tables and the same columns that the features are made of, in SQL
  over all files at once (`tests/bench/duckdb_*.py`); a test holds its every value against ours.
  It has less to do: the rows of the log are not judged one by one, nothing is written to disk, who
  is eligible is not said, and the features' last arithmetic and places among peers are left out.
- *pandas* is the straightforward way (`tests/bench/pandas_peer.py`): it reads, groups and loops
  over the as-ofs. It gives {measures} columns. Not in it: {left_out}.
- Both peers are handed the small tables, checked, before their clock starts.
"""

"""Measure what the gate lets through, on companies with nothing to find and with enough; a page.

What a section found is kept, so that one can be measured again and the page still tells the others.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import data  # noqa: F401 - as every command does, before Polars

# isort: split
import companies
import drawn
import page
import real

from data.config.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
_AT_ONCE = 2
_FEW = 6
_SIZES = (200, 350, 600, 1_000, 2_000)
_COLUMNS = 24
# Few columns and trees keep a model of noise near the base rate, where chance may lift it above;
# the defaults on all columns fall further below. So this is the harder test, and the cheaper one.
_QUICK = {"ensemble_size": 2, "n_estimators": 60, "horizons_days": (60,)}
_CASES = {
    "model .80, rule .72": drawn.Case(),
    "model .80, rule .72, errors not alike": drawn.Case(shared=0.0),
    "model .80, rule .72, four cuts": drawn.Case(cuts=4),
    "model .80, rule .72, 500 accounts": drawn.Case(accounts=500),
    "model .72, rule .72": drawn.Case(model=0.72),
    page.EDGE: drawn.Case(model=0.687),
    "model .65, rule .72": drawn.Case(model=0.65),
}
Section = Callable[[argparse.Namespace], dict[str, Any]]


def _nulls(told: argparse.Namespace) -> dict[str, Any]:
    """Companies whose model reads noise."""
    rules = Settings()
    quick = rules.model_copy(update={"model": rules.model.model_copy(update=_QUICK)})
    count = 2 if told.small else told.companies
    sizes = _SIZES[:1] if told.small else _SIZES
    asked = [(sizes[seed % len(sizes)], seed, quick, _COLUMNS) for seed in range(count)]
    return {"each": _all(companies.judged, asked)}


def _defaults(told: argparse.Namespace) -> dict[str, Any]:
    """A few of the same with every setting as it stands, and noise in every column."""
    asked = [(accounts, seed, Settings(), 10_000) for accounts in (200, 600) for seed in range(4)]
    return {"each": [] if told.small else _all(companies.judged, asked)}


def _known(told: argparse.Namespace) -> dict[str, Any]:
    """Made-up models and rules of known AUROC."""
    first = next(iter(_CASES))
    counts = {name: told.histories if name == first else told.histories // 3 for name in _CASES}
    asked = [(name, seed) for name in _CASES for seed in range(1 if told.small else counts[name])]
    found = _all(drawn.judged, [(_CASES[name], seed, Settings()) for name, seed in asked])
    return {
        name: [one for (of, _), one in zip(asked, found, strict=True) if of == name]
        for name in _CASES
    }


def _real(told: argparse.Namespace) -> dict[str, Any]:
    """Real and synthetic data without a signal, where they are at hand."""
    if told.small or not (ROOT.parent / "shared/data").exists():
        return {}
    found = {"ravenstack": real.ravenstack(told.folder)}
    for number in range(1, told.shuffles + 1):
        found[f"openstack, outcomes dealt anew ({number})"] = real.shuffled(told.panels, number)
    return found


SECTIONS: dict[str, Section] = {
    "nulls": _nulls,
    "defaults": _defaults,
    "known": _known,
    "real": _real,
}


def main() -> None:
    """Measure the sections that are asked for, and write the page."""
    told = _arguments()
    if told.small and told.folder == _FOLDER:
        told.folder = _FOLDER.with_name("bench-gate-small")
    told.folder.mkdir(parents=True, exist_ok=True)
    for name in told.only or SECTIONS:
        started = time.monotonic()
        found = SECTIONS[name](told)
        seconds = time.monotonic() - started
        kept = {"found": found, "at": f"{datetime.now(UTC):%Y-%m-%d}", "seconds": seconds}
        (told.folder / f"{name}.json").write_text(json.dumps(kept | _state()), encoding="utf-8")
        sys.stderr.write(f"{name:10} {seconds:7.0f} s\n")
    files = {name: told.folder / f"{name}.json" for name in SECTIONS}
    kept = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
    text = page.markdown(kept)
    # A smoke run must not replace figures that mean something.
    where = told.folder / "GATE.md" if told.small else ROOT / "docs/measured/gate.md"
    where.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def _all(job: Callable[..., Any], asked: list[tuple[Any, ...]]) -> list[Any]:
    """Do a job for each of what is asked, two at once; a few are not worth the processes."""
    if len(asked) <= _FEW:
        return [job(*each) for each in asked]
    with multiprocessing.get_context("spawn").Pool(_AT_ONCE) as pool:
        return pool.starmap(job, asked, chunksize=1)


def _state() -> dict[str, Any]:
    """Which code this was: the commit, and whether anything was changed since."""
    told = ["git", "-C", str(ROOT)]
    ask = partial(subprocess.run, stdout=subprocess.PIPE, check=False, text=True)
    commit = ask([*told, "rev-parse", "--short", "HEAD"]).stdout.strip()
    floors = ["data", "features", "training", ":!*.md"]
    changed = bool(ask([*told, "status", "--porcelain", "--", *floors]).stdout.strip())
    return {"commit": commit, "changed": changed}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), help=",".join(SECTIONS))
    parser.add_argument("--small", action="store_true", help="does it run?")
    parser.add_argument("--companies", type=int, default=200)
    parser.add_argument("--histories", type=int, default=300)
    parser.add_argument("--shuffles", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=_FOLDER)
    parser.add_argument(
        "--panels", type=Path, default=ROOT / "data/local/bench-model", help="of bench-model"
    )
    return parser.parse_args()


_FOLDER = ROOT / "data/local/bench-gate"

if __name__ == "__main__":
    main()

"""Measure what a list costs beside LightGBM's own predictions; write docs/measured/scoring-speed.md.

Every step runs in a process of its own, so that the peak of its memory is its own. This process
stays small, because on Linux a child starts with the peak of its parent.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import page

ROOT = Path(__file__).resolve().parents[3]
_WHOLE = {"rows": 100_000, "accounts": 1_500, "months": 36, "members": 10, "rounds": 220}
_SMALL = {"rows": 500, "accounts": 120, "months": 18, "members": 2, "rounds": 10}


def main() -> None:
    """Read the command line; as a child, run one step."""
    told = _arguments()
    size = {**(_SMALL if told.small else _WHOLE), **({"rows": told.rows} if told.rows else {})}
    folder = told.folder or ROOT / f"data/local/bench-score-{size['rows']}"
    if told.step:
        import data  # noqa: F401, PLC0415 - as every command does, before Polars

        # isort: split
        import company  # noqa: PLC0415 - heavy, and only for children
        import steps  # noqa: PLC0415

        steps.main(told.step, folder, company.Size(**size))
        return
    _step("make", folder, told)
    found = [_step(name, folder, told) for name in ("theirs", "ours")]
    # A smoke run must not replace figures that mean something.
    where = told.page or (
        folder / "SPEED.md" if told.small else ROOT / "docs/measured/scoring-speed.md"
    )
    where.write_text(page.markdown(found[1], found[0]), encoding="utf-8")
    sys.stdout.write(where.read_text(encoding="utf-8"))
    _say(f"the page is {where}")


def _step(name: str, folder: Path, told: argparse.Namespace) -> dict[str, Any]:
    """Run one step in a process of its own."""
    started = time.monotonic()
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    command += ["--small"] if told.small else []
    command += ["--rows", str(told.rows)] if told.rows else []
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    _say(f"{name:8} {time.monotonic() - started:7.0f} s")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=lambda text: int(float(text)), help="accounts")
    parser.add_argument("--small", action="store_true", help="does it run?")
    parser.add_argument("--folder", type=Path, help="where accounts and models are kept")
    parser.add_argument(
        "--page", type=Path, help="where to write; else docs/measured/scoring-speed.md"
    )
    parser.add_argument("--step", help=argparse.SUPPRESS)
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()

"""Benchmark of scoring against LightGBM's own predictions; writes docs/measured/scoring-speed.md.

Every step runs in its own process, so that its peak memory is its own. This process stays small,
because on Linux a child starts with the peak of its parent.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests import ROOT
from tests.benchmarks.score import scoring_page

_MODULE = "tests.benchmarks.score.bench_score"
_FULL_SIZE = {
    "rows": 100_000,
    "accounts": 1_500,
    "months": 36,
    "ensemble_size": 10,
    "n_estimators": 220,
}
_SMALL_SIZE = {"rows": 500, "accounts": 120, "months": 18, "ensemble_size": 2, "n_estimators": 10}


def main() -> None:
    """Parse the command line; in a child process, run one step."""
    arguments = _parse_arguments()
    size = {
        **(_SMALL_SIZE if arguments.small else _FULL_SIZE),
        **({"rows": arguments.rows} if arguments.rows else {}),
    }
    folder = arguments.folder or ROOT / f"data/local/bench-score-{size['rows']}"
    if arguments.step:
        import data  # noqa: F401, PLC0415 - as every command does, before Polars

        # isort: split
        from tests.benchmarks.score import scored_accounts, scoring_steps  # noqa: PLC0415 - heavy

        scoring_steps.main(arguments.step, folder, scored_accounts.BenchSize(**size))
        return
    _run_step("build", folder, arguments)
    results = [_run_step(name, folder, arguments) for name in ("lightgbm", "scoring")]
    # A smoke run must not overwrite real measurements.
    page_file = arguments.page or (
        folder / "scoring-speed.md" if arguments.small else ROOT / "docs/measured/scoring-speed.md"
    )
    page_file.write_text(scoring_page.render_page(results[1], results[0]), encoding="utf-8")
    sys.stdout.write(page_file.read_text(encoding="utf-8"))
    _log_line(f"the page is {page_file}")


def _run_step(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one step in its own process."""
    started = time.monotonic()
    command = [sys.executable, "-m", _MODULE, "--step", name, "--folder", str(folder)]
    command += ["--small"] if arguments.small else []
    command += ["--rows", str(arguments.rows)] if arguments.rows else []
    process = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    _log_line(f"{name:8} {time.monotonic() - started:7.0f} s")
    result: dict[str, Any] = json.loads(process.stdout)
    return result


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=lambda text: int(float(text)), help="accounts")
    parser.add_argument("--small", action="store_true", help="smoke test")
    parser.add_argument("--folder", type=Path, help="where accounts and models are stored")
    parser.add_argument(
        "--page", type=Path, help="page to write; default docs/measured/scoring-speed.md"
    )
    parser.add_argument("--step", help=argparse.SUPPRESS)
    return parser.parse_args()


def _log_line(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()

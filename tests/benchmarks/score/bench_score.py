"""Benchmark of scoring against LightGBM's own predictions.

Writes docs/measured/scoring-speed.md.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from tests import ROOT
from tests.benchmarks import bench_script
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

        result = scoring_steps.run_step(arguments.step, folder, scored_accounts.BenchSize(**size))
        bench_script.print_result(result)
        return
    _run_step("build", folder, arguments)
    results = [_run_step(name, folder, arguments) for name in ("lightgbm", "scoring")]
    page = scoring_page.render_page(results[1], results[0])
    bench_script.write_page("scoring-speed.md", page, arguments, folder)
    sys.stdout.write(page)


def _run_step(name: str, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one step in its own process."""
    started = time.monotonic()
    options = ["--folder", folder, *(["--small"] if arguments.small else [])]
    options += ["--rows", arguments.rows] if arguments.rows else []
    result = bench_script.run_step(_MODULE, name, *options)
    bench_script.log_line(f"{name:8} {time.monotonic() - started:7.0f} s")
    return result


def _parse_arguments() -> argparse.Namespace:
    parser = bench_script.create_parser(__doc__)
    parser.add_argument("--rows", type=lambda text: int(float(text)), help="accounts")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

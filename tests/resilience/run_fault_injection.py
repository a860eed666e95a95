"""Deliver to CRMs with fault injection, and print what was lost. About ten minutes.

``--kills 20 --accounts 400`` takes about one minute.
"""

import argparse
import multiprocessing
import multiprocessing.pool
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests import postgres_server
from tests.resilience import faulty_crm, scenarios
from tests.resilience.scenarios import Template
from tests.resilience.state_checker import Verdict

_HEAD = ("what fails", "trials", "lost", "doubled", "edits lost", "wrong", "requests ÷ least")


def _kill_many(template: Template, count: int, pool: multiprocessing.pool.Pool) -> Verdict:
    points = scenarios.count_kill_points(template)
    draw = random.Random(3)  # noqa: S311
    trials = [(draw.randint(1, points), seed) for seed in range(count)]
    return sum(pool.starmap(partial(scenarios.kill_and_resume, template), trials), Verdict())


def _postgres(accounts: int, count: int) -> Verdict:
    """Kill senders on a real PostgreSQL server, each on a copy of one database."""
    with postgres_server.start_postgres() as server:
        url = scenarios.create_database(postgres_server.build_url(server), "week")
        template = scenarios.prepare_second_week(url, accounts)
        points = scenarios.count_kill_points(template)
        draw, verdict = random.Random(4), Verdict()  # noqa: S311
        for seed in range(count):
            verdict += scenarios.kill_and_resume(template, draw.randint(1, points), seed)
        for days in (0.0, 3650.0):
            verdict += scenarios.run_two_senders(template, ahead_days=days)
        return verdict


Row = tuple[str, int, Verdict, str]


def _rows(folder: Path, accounts: int, kills: int) -> Iterator[Row]:
    templates = {
        "first list": scenarios.prepare_first_week(f"sqlite:///{folder / 'new.db'}", accounts),
        "second week, edited by humans": scenarios.prepare_second_week(
            f"sqlite:///{folder / 'week.db'}", accounts
        ),
    }
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for name, template in templates.items():
            verdict = _kill_many(template, kills // 2, pool)
            yield f"killed at a random point, {name}", kills // 2, verdict, ""
    verdict = _postgres(accounts, kills // 10)
    yield "killed, and two at once, PostgreSQL", kills // 10 + 2, verdict, ""
    first, second = templates.values()
    for fault in (None, *faulty_crm.FAULTS, "any"):
        result = scenarios.send_over_http(folder, accounts, fault)
        ratio = f"{result.ratio:.2f}"
        share = f"{fault}, 30 % of requests" if fault else "nothing"
        yield f"HTTP: {share}", 2, result.verdict, ratio
    yield "two runs at once", 1, scenarios.run_two_senders(first), ""
    for days in (3650.0, -3650.0):
        name = f"two at once, one clock {days / 365:+.0f} years off"
        yield name, 1, scenarios.run_two_senders(second, ahead_days=days), ""
    yield "database locked for 6 seconds", 1, scenarios.send_while_locked(second, 6), ""
    for room in (2 * accounts, 300 * accounts, 700 * accounts):
        verdict = scenarios.send_on_full_disk(first, room)
        yield f"disk full after {room:,} bytes", 1, verdict, ""


def _print(*words: str, sep: str = " ") -> None:
    sys.stdout.write(sep.join(words) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Print a line per scenario; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=200)
    arguments = parser.parse_args()
    start, total = time.monotonic(), Verdict()
    names = "".join(f"{name:>12}" for name in _HEAD[1:-1])
    _print(f"{_HEAD[0]:<60}{names}{_HEAD[-1]:>18}")
    with tempfile.TemporaryDirectory(prefix="faults") as folder:
        for name, trials, verdict, ratio in _rows(
            Path(folder), arguments.accounts, arguments.kills
        ):
            counts = (trials, verdict.lost, verdict.duplicated, verdict.overwritten, verdict.wrong)
            _print(f"{name:<60}" + "".join(f"{n:>12,}" for n in counts) + f"{ratio:>18}")
            total += verdict
    _print(f"{arguments.accounts:,} accounts; {time.monotonic() - start:,.0f} seconds")
    _print(*total.examples[:20], sep="\n")
    return 0 if total else 1


if __name__ == "__main__":
    sys.exit(main())

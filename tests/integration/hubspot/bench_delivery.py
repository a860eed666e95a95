"""Measure records per second written to HubSpot, of the 1,900 that its rate limit allows.

Run by ``make bench-hubspot``. The fake portal is a separate process on one core, with its rate
limits in force; the measured code runs on another. Read records count as written ones, because
either call takes 100.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from data.config.settings import Settings
from serving import store
from serving.delivery.crm import hubspot
from serving.delivery.crm.base import FieldChange, ObjectRef
from serving.delivery.crm.hubspot import HubSpotTarget
from serving.delivery.reconcile.sender import send_pending
from tests import ROOT
from tests.fakes.desired_objects import generate_desired, save_generated
from tests.fakes.hubspot.server import TOKEN

CALLS, ROWS, WINDOW = 190, 100, 10.0  # calls per window of WINDOW seconds, with ROWS records each
PASSES = 3
_PORTAL = """
import sys, threading
from tests.fakes.hubspot.server import HubSpotServer
service = HubSpotServer(max_calls=None)
print(service.start(), flush=True)
for line in sys.stdin:
    if line.startswith("enter"):
        for number in range(1, int(line.split()[1]) + 1):
            key = f"acc_{number:05}"
            service.portal.create("companies", {"name": key, "expansion_account_id": key})
    if line.startswith("limit"):
        service.restrict_calls(int(line.split()[1]))
    print(service.total, service.response_counts[429], len(service.contract_violations), flush=True)
"""


def main() -> None:
    """Measure, print, and store the results if requested."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--json", type=Path, help="store the results in this file")
    arguments = parser.parse_args()
    with _start_portal() as send_command:
        target = _create_target(send_command.url)  # type: ignore[attr-defined]
        target.provision()
        send_command(f"enter {arguments.accounts}")
        send_command(f"limit {CALLS}")
        results = {
            "writing": _measure_writes(target, send_command, arguments.accounts),
            "sending": _measure_sender(target, send_command, arguments.accounts),
        }
    for name, figures in results.items():
        print(f"{name}: {figures}")  # noqa: T201
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


def _measure_writes(
    target: HubSpotTarget, send_command: Callable[[str], list[int]], accounts: int
) -> dict[str, Any]:
    """Measure the target alone: all fields of every account, 100 per call."""
    rows = [row for row in generate_desired(accounts) if row["kind"] == "account"]
    refs = [ObjectRef("account", row["key"], row["key"]) for row in rows[:ROWS]]
    remote = target.read(refs)
    first = int(min(int(one.crm_id) for one in remote if one is not None))
    changes = [
        FieldChange(
            replace(ObjectRef("account", row["key"], row["key"]), crm_id=str(first + index)),
            target.normalize("account", row["fields"]),
        )
        for index, row in enumerate(rows)
    ]
    batches = [changes[start : start + ROWS] for start in range(0, accounts, ROWS)] * PASSES
    return _measure(send_command, lambda: [target.write(batch) for batch in batches])


def _measure_sender(
    target: HubSpotTarget, send_command: Callable[[str], list[int]], accounts: int
) -> dict[str, Any]:
    """Measure the whole sender with its database: read, diff, write, record."""
    with tempfile.TemporaryDirectory() as folder:
        engine = store.open_engine(f"sqlite:///{folder}/crm.db")
        save_generated(engine, "hubspot", accounts, week=1)
        arguments = _measure(
            send_command, lambda: send_pending(engine, target, now=datetime.now(UTC))
        )
        engine.dispose()
    return arguments


def _measure(send_command: Callable[[str], list[int]], work: Callable[[], Any]) -> dict[str, Any]:
    """Compare with the minimum time that the portal's rate limit requires for the calls.

    Only full windows count: the first calls of a new window may all come at once.
    """
    time.sleep(WINDOW)  # let the rate limit window of earlier calls pass
    before, rejected_before, _ = send_command("count")
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall_seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    after, rejected_after, violations = send_command("count")
    calls = after - before
    minimum_seconds = (calls - 1) // CALLS * WINDOW
    return {
        "calls": calls,
        "seconds": round(wall_seconds, 1),
        "least_seconds": minimum_seconds,
        "of_allowed": round(minimum_seconds / wall_seconds, 3),
        "records_per_second": round(minimum_seconds / wall_seconds * CALLS * ROWS / WINDOW),
        "cpu_ms_per_call": round(1000 * cpu_seconds / calls, 1),
        "refused_429": rejected_after - rejected_before,
        "outside_contract": violations,
    }


@contextmanager
def _start_portal() -> Iterator[Any]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    cores = sorted(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", _PORTAL], cwd=ROOT, **pipes) as process:  # type: ignore[call-overload]
        os.sched_setaffinity(process.pid, cores[1:2] or cores)
        os.sched_setaffinity(0, cores[:1])
        url = process.stdout.readline().strip()

        def send_command(line: str) -> list[int]:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return [int(word) for word in process.stdout.readline().split()]

        send_command.url = url  # type: ignore[attr-defined]
        yield send_command
        process.kill()


def _create_target(url: str) -> HubSpotTarget:
    crm = {"name": "hubspot", "hubspot": {"token": TOKEN}}
    return hubspot.create_target(Settings.model_validate({"crm": crm}), url=url)


if __name__ == "__main__":
    main()

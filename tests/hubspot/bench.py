"""Measure how many records a second reach HubSpot, of the 1,900 that its limits allow.

``python tests/hubspot/bench.py``: the portal is a process of its own on one core, with its limits
in force; what is measured runs on another. A record that is read counts as one that is written
does, for a call of either takes 100.
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

import hubspot_outbox as outbox
from hubspot_portal.service import TOKEN

from data.config.settings import Settings
from serving import store
from serving.delivery.crm import hubspot
from serving.delivery.crm.base import FieldChange, ObjectRef
from serving.delivery.crm.hubspot import HubSpotTarget
from serving.delivery.reconcile.sender import send_pending

HERE = Path(__file__).parent
CALLS, ROWS, WINDOW = 190, 100, 10.0  # borne in so many seconds, each of so many records
PASSES = 3
_PORTAL = """
import sys, threading
from hubspot_portal.service import Service
service = Service(calls=None)
print(service.start(), flush=True)
for line in sys.stdin:
    if line.startswith("enter"):
        for place in range(1, int(line.split()[1]) + 1):
            key = f"acc_{place:05}"
            service.portal.make("companies", {"name": key, "expansion_account_id": key})
    if line.startswith("limit"):
        service.calls, service._times = int(line.split()[1]), type(service._times)()
    print(service.total, service.answered[429], len(service.wrong), flush=True)
"""


def main() -> None:
    """Measure, print, and keep the figures where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--json", type=Path, help="keep the figures in this file")
    told = parser.parse_args()
    with _portal() as ask:
        target = _target(ask.url)  # type: ignore[attr-defined]
        target.provision()
        ask(f"enter {told.accounts}")
        ask(f"limit {CALLS}")
        figures = {
            "writing": _writes(target, ask, told.accounts),
            "sending": _sends(target, ask, told.accounts),
        }
    for name, one in figures.items():
        print(f"{name}: {one}")  # noqa: T201
    if told.json:
        told.json.write_text(json.dumps(figures, indent=1))


def _writes(
    target: HubSpotTarget, ask: Callable[[str], list[int]], accounts: int
) -> dict[str, Any]:
    """The target alone: every account's fields, 100 at a time."""
    rows = [row for row in outbox.wanted(accounts) if row["kind"] == "account"]
    refs = [ObjectRef("account", row["key"], row["key"]) for row in rows[:ROWS]]
    found = target.read(refs)
    first = int(min(int(one.crm_id) for one in found if one is not None))
    changes = [
        FieldChange(
            replace(ObjectRef("account", row["key"], row["key"]), crm_id=str(first + place)),
            target.normalize("account", row["fields"]),
        )
        for place, row in enumerate(rows)
    ]
    batches = [changes[start : start + ROWS] for start in range(0, accounts, ROWS)] * PASSES
    return _measured(ask, lambda: [target.write(batch) for batch in batches])


def _sends(target: HubSpotTarget, ask: Callable[[str], list[int]], accounts: int) -> dict[str, Any]:
    """The whole sender, its database included: read, decide, write, remember."""
    with tempfile.TemporaryDirectory() as folder:
        engine = store.open_engine(f"sqlite:///{folder}/crm.db")
        outbox.put(engine, accounts, week=1)
        told = _measured(ask, lambda: send_pending(engine, target, now=datetime.now(UTC)))
        engine.dispose()
    return told


def _measured(ask: Callable[[str], list[int]], work: Callable[[], Any]) -> dict[str, Any]:
    """Beside the least time that the portal's limits leave for so many calls.

    That counts full windows only: the first calls of a new one may all come at once.
    """
    time.sleep(WINDOW)  # what was asked before does not count
    before, refused, _ = ask("count")
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, used = time.perf_counter() - wall, time.process_time() - cpu
    after, refused_after, wrong = ask("count")
    calls = after - before
    least = (calls - 1) // CALLS * WINDOW
    return {
        "calls": calls,
        "seconds": round(seconds, 1),
        "least_seconds": least,
        "of_allowed": round(least / seconds, 3),
        "records_per_second": round(least / seconds * CALLS * ROWS / WINDOW),
        "cpu_ms_per_call": round(1000 * used / calls, 1),
        "refused_429": refused_after - refused,
        "outside_contract": wrong,
    }


@contextmanager
def _portal() -> Iterator[Any]:
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    cores = sorted(os.sched_getaffinity(0))
    with subprocess.Popen([sys.executable, "-c", _PORTAL], env=environment, **pipes) as process:  # type: ignore[call-overload]
        os.sched_setaffinity(process.pid, cores[1:2] or cores)
        os.sched_setaffinity(0, cores[:1])
        url = process.stdout.readline().strip()

        def ask(line: str) -> list[int]:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            return [int(word) for word in process.stdout.readline().split()]

        ask.url = url  # type: ignore[attr-defined]
        yield ask
        process.kill()


def _target(url: str) -> HubSpotTarget:
    crm = {"name": "hubspot", "hubspot": {"token": TOKEN, "url": url}}
    return hubspot.create_target(Settings.model_validate({"crm": crm}))


if __name__ == "__main__":
    main()

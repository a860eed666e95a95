"""Assertions over the whole attack: stored events, processes, memory and logs."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from serving import store
from serving.store.event_schema import WEBHOOK_EVENTS
from tests.benchmarks.events import server_process
from tests.security.counters import AttackCategory, Ledger
from tests.security.target import Target

MAX_GROWTH_MB = 100


@dataclass(frozen=True)
class Baseline:
    """Processes and memory before the attack."""

    memory_mb: float  # of the server
    worker: int | None


@dataclass(frozen=True)
class Assertion:
    """An assertion, its result, and the observed value."""

    text: str
    holds: bool
    observed: str


def check_assertions(
    target: Target,
    server: server_process.ServerProcess,
    ledger: Ledger,
    categories: list[AttackCategory],
    before: Baseline,
) -> list[Assertion]:
    """Check all assertions after an attack."""
    stored = count_stored(target)
    lost = [each for each in ledger.accepted if not stored[each]]
    twice = [each for each, number in stored.items() if number > 1]
    forged = [name for _, name in stored if name.startswith("forged")]
    statuses = sum((category.statuses for category in categories), Counter[int]())
    server_errors = {status: n for status, n in statuses.items() if status >= 500 and status != 503}
    alive, now = server.process.poll() is None, server.measure_memory_mb()
    grown = now.get("server", 0) - before.memory_mb
    log = (target.config.parent / "serve.log").read_text()
    leaked = [name for name, each in list_secrets(target).items() if each in log]
    return [
        Assertion(
            "no 5xx but 503",
            not server_errors,
            f"{statuses[503]:,} × 503, {sum(server_errors.values())} others",
        ),
        Assertion(
            "503 only during outages",
            not any(
                category.statuses[503] and not category.may_return_503 for category in categories
            ),
            ", ".join(f"{k.name}: {k.statuses[503]:,}" for k in categories if k.statuses[503])
            or "none",
        ),
        Assertion(
            "no accepted event is lost",
            not lost,
            f"{len(ledger.accepted):,} accepted, {len(lost)} lost {lost[:3] or ''}".strip(),
        ),
        Assertion(
            "no event is stored twice", not twice, f"{len(stored):,} stored, {len(twice)} twice"
        ),
        Assertion("no forged event is stored", not forged, f"{len(forged)}"),
        Assertion("the server is the same process", alive, f"process {server.process.pid}"),
        Assertion(
            "the event worker is the same process",
            server.find_consumer_pid() == before.worker,
            f"process {server.find_consumer_pid()}",
        ),
        Assertion(
            f"its memory grew by less than {MAX_GROWTH_MB} MB",
            alive and grown < MAX_GROWTH_MB,
            f"{before.memory_mb:.0f} → {now.get('server', 0):.0f} MB,"
            f" {read_peak_mb(server.process.pid):.0f} at its peak",
        ),
        Assertion(
            "no secret or token is in its log",
            not leaked,
            f"{len(log):,} characters {leaked or ''}",
        ),
        Assertion("no traceback is in its log", "Traceback" not in log, describe_tracebacks(log)),
    ]


def read_peak_mb(pid: int) -> float:
    """Return the peak resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def describe_tracebacks(log: str) -> str:
    """Return the number of tracebacks, and their distinct last lines."""
    tracebacks = re.findall(
        r"^Traceback.*?^(?=\S)(?!Traceback)(.{,120})", log, re.DOTALL | re.MULTILINE
    )
    return f"{len(tracebacks)} {'; '.join(sorted(set(tracebacks))[:5])}".strip()


def count_stored(target: Target) -> Counter[tuple[str, str]]:
    target.engine.dispose()  # drop connections from before the outage
    with store.read_transaction(target.engine) as connection:
        rows = connection.execute(sa.select(WEBHOOK_EVENTS.c.source, WEBHOOK_EVENTS.c.message_id))
        return Counter((row[0], row[1]) for row in rows)


def list_secrets(target: Target) -> dict[str, str]:
    return {**{f"token of {k}": v for k, v in target.tokens.items()}, **target.secrets}

"""The laws over all that was tried: what the database holds, what the server is and has said."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import served
import sqlalchemy as sa
from ledger import Kind, Ledger
from target import Target

from serving import store
from serving.store.event_schema import WEBHOOK_EVENTS

MOST_GROWN_MB = 100


@dataclass(frozen=True)
class Before:
    """The processes before they were attacked."""

    memory_mb: float  # of the server
    watcher: int | None


@dataclass(frozen=True)
class Law:
    """Something that must hold, whether it does, and what was seen."""

    words: str
    holds: bool
    seen: str


def laws(
    target: Target, at: served.Served, ledger: Ledger, kinds: list[Kind], before: Before
) -> list[Law]:
    """Judge a whole attack."""
    stored = _stored(target)
    lost = [each for each in ledger.accepted if not stored[each]]
    twice = [each for each, number in stored.items() if number > 1]
    forged = [name for _, name in stored if name.startswith("forged")]
    answers = sum((kind.statuses for kind in kinds), Counter[int]())
    worse = {status: n for status, n in answers.items() if status >= 500 and status != 503}
    alive, now = at.process.poll() is None, at.memory_mb()
    grown = now.get("server", 0) - before.memory_mb
    log = (target.config.parent / "serve.log").read_text()
    told = [name for name, each in _secrets(target).items() if each in log]
    return [
        Law("no 5xx but 503", not worse, f"{answers[503]:,} × 503, {sum(worse.values())} others"),
        Law(
            "503 only where there was cause",
            not any(kind.statuses[503] and not kind.refuses for kind in kinds),
            ", ".join(f"{k.name}: {k.statuses[503]:,}" for k in kinds if k.statuses[503]) or "none",
        ),
        Law(
            "no accepted event is lost",
            not lost,
            f"{len(ledger.accepted):,} accepted, {len(lost)} lost {lost[:3] or ''}".strip(),
        ),
        Law("none stands there twice", not twice, f"{len(stored):,} stored, {len(twice)} twice"),
        Law("no forged event is stored", not forged, f"{len(forged)}"),
        Law("the server lives, and is the same process", alive, f"process {at.process.pid}"),
        Law("so is the watcher", at.watcher() == before.watcher, f"process {at.watcher()}"),
        Law(
            f"its memory grew by less than {MOST_GROWN_MB} MB",
            alive and grown < MOST_GROWN_MB,
            f"{before.memory_mb:.0f} → {now.get('server', 0):.0f} MB,"
            f" {peak_mb(at.process.pid):.0f} at its peak",
        ),
        Law("no secret or token is in its log", not told, f"{len(log):,} letters {told or ''}"),
        Law("no traceback is in its log", "Traceback" not in log, _tracebacks(log)),
    ]


def peak_mb(pid: int) -> float:
    """The most it ever held."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def _tracebacks(log: str) -> str:
    """How many, and what the different ones end with."""
    found = re.findall(r"^Traceback.*?^(?=\S)(?!Traceback)(.{,120})", log, re.DOTALL | re.MULTILINE)
    return f"{len(found)} {'; '.join(sorted(set(found))[:5])}".strip()


def _stored(target: Target) -> Counter[tuple[str, str]]:
    target.engine.dispose()  # its connections may be from before the database was away
    with store.read_transaction(target.engine) as connection:
        rows = connection.execute(sa.select(WEBHOOK_EVENTS.c.source, WEBHOOK_EVENTS.c.message_id))
        return Counter((row[0], row[1]) for row in rows)


def _secrets(target: Target) -> dict[str, str]:
    return {**{f"token of {k}": v for k, v in target.tokens.items()}, **target.secrets}

"""``make attack``: the server as it is run, attacked over HTTP, on SQLite and on PostgreSQL.

Prints what was tried, what was answered, and whether the laws hold; fails where one does not.
"""

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path[1:1] = [str(Path(__file__).parents[1] / each) for each in ("web", "bench/events")]

import bodies  # noqa: E402
import browser  # noqa: E402
import connections  # noqa: E402
import doors  # noqa: E402
import doubles  # noqa: E402
import drawn  # noqa: E402
import outages  # noqa: E402
import paths  # noqa: E402
import served  # noqa: E402
import signing  # noqa: E402
import strange  # noqa: E402
import target  # noqa: E402
import verdict  # noqa: E402
from attack import Attack  # noqa: E402
from ledger import Kind, Ledger  # noqa: E402

from serving import store  # noqa: E402
from serving.store.event_schema import CONSUMER_OFFSETS  # noqa: E402

Work = Callable[[Attack, Kind], None]
KINDS: dict[str, tuple[str, Work, bool]] = {
    "drawn": ("drawn from the schema", drawn.run, False),
    "bodies": ("broken and huge bodies", bodies.run, False),
    "signing": ("wrong and old signatures", signing.run, False),
    "strange": ("SQL, HTML, odd signs", strange.run, False),
    "browser": ("a browser on such names", browser.run, False),
    "paths": ("paths, methods, heads", paths.run, False),
    "doubles": ("one message, 32 at once", doubles.run, False),
    "forms": ("forms from elsewhere", doors.forms, False),
    "guessing": ("tokens guessed", doors.guessing, False),
    "crowd": ("too many connections", connections.exceed_limit, True),
    "disk": ("a full disk", outages.disk, True),
    "away": ("the database goes away", outages.away, True),
}


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--small", action="store_true", help="A little of each, on SQLite.")
    asked.add_argument("--json", action="store_true", help="One object in place of the tables.")
    asked.add_argument("--only", nargs="+", choices=KINDS, help="These kinds alone.")
    asked.add_argument("--on", choices=["sqlite", "postgresql"], help="This database alone.")
    asked.add_argument("--seed", type=int, default=7)
    told = asked.parse_args()
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (8_192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    databases = [told.on] if told.on else ["sqlite"] if told.small else ["sqlite", "postgresql"]
    found = {}
    for name in databases:
        found[name] = _attacked(name, told)
        if not told.json:
            print(_table(name, found[name]), flush=True)  # noqa: T201
    holds = all(each["holds"] for each in found.values())
    if told.json:
        print(json.dumps({"holds": holds, **found}, indent=2))  # noqa: T201
    sys.exit(not holds)


def _attacked(name: str, told: argparse.Namespace) -> dict[str, Any]:
    """Attack it on one database."""
    with TemporaryDirectory(prefix="attack") as folder, _database(name) as database:
        url = database.get_uri().replace("postgresql:", "postgresql+psycopg:") if database else None
        company = target.made(Path(folder, "company"), url)
        with served.serving(company.config) as at:
            served.until("a first look", lambda: _progress(company), 120)
            ledger, share = Ledger(company), 0.05 if told.small else 1.0
            attack = Attack(company, at, ledger, share, database, random.Random(told.seed))  # noqa: S311
            _warm(attack)
            before = verdict.Before(at.memory_mb()["server"], at.watcher())
            kinds = [_tried(attack, each) for each in told.only or KINDS]
            outages.there_again(attack)
            laws = verdict.laws(company, at, ledger, kinds, before)
        company.engine.dispose()
    return {
        "kinds": [kind.as_json() for kind in kinds],
        "laws": [vars(law) for law in laws],
        "requests": sum(kind.requests for kind in kinds),
        "seconds": round(sum(kind.seconds for kind in kinds)),
        "holds": all(not kind.broken for kind in kinds) and all(law.holds for law in laws),
    }


def _tried(attack: Attack, name: str) -> Kind:
    words, work, refuses = KINDS[name]
    kind, started = Kind(words, refuses), time.monotonic()
    print(f"{words} …", file=sys.stderr, flush=True)  # noqa: T201
    try:
        work(attack, kind)
    except Exception as error:  # it is told, and the others are tried
        kind.law("could not be tried to its end", holds=False, found=error)
    kind.seconds = time.monotonic() - started
    return kind


def _warm(attack: Attack) -> None:
    """Have everything loaded that a day's work loads, before memory is read."""
    kind, line = Kind("warm"), attack.line()
    for _ in range(20):
        for path in ("/", "/list.csv", "/model", "/runs", "/feedback.csv", "/account?id=acc_00100"):
            attack.ask(kind, line, "GET", path, "lead")
        for source in ("generic", "segment"):
            attack.honest(kind, line, source)
    assert not kind.broken, kind.broken
    line.close()


def _progress(company: target.Target) -> bool:
    with store.read_transaction(company.engine) as connection:
        return connection.scalar(CONSUMER_OFFSETS.select()) is not None


@contextmanager
def _database(name: str) -> Iterator[Any]:
    if name == "sqlite":
        yield None
        return
    with target.postgres() as server:
        yield server


def _table(name: str, told: dict[str, Any]) -> str:
    """What was tried and found, in Markdown."""
    rows = [f"\n{name}: {told['requests']:,} requests, {told['seconds']} s\n"]
    rows += ["| tried | requests | answers | s | holds |", "|---|---:|---|---:|---|"]
    for kind in told["kinds"]:
        answers = ", ".join(f"{status}: {n:,}" for status, n in kind["answers"].items())
        requests, seconds = f"{kind['requests']:,}", f"{kind['seconds']:.0f}"
        rows.append(f"| {kind['kind']} | {requests} | {answers} | {seconds} | {_yes(kind)} |")
    rows += ["", "| law | seen | holds |", "|---|---|---|"]
    rows += [f"| {law['words']} | {law['seen']} | {_yes(law)} |" for law in told["laws"]]
    rows += ["", *(f"{kind['kind']}: {kind['told']}" for kind in told["kinds"] if kind["told"])]
    rows += [f"\n{kind['kind']}: {each}" for kind in told["kinds"] for each in kind["broken"]]
    return "\n".join(rows)


def _yes(told: dict[str, Any]) -> str:
    return "yes" if told["holds"] else "**no**"


if __name__ == "__main__":
    main()

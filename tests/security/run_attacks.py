"""``make attack``: attack the real server over HTTP, on SQLite and on PostgreSQL.

Prints the requests, responses and assertions; exits with an error if an assertion fails.
"""

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from serving import store
from serving.store.event_schema import CONSUMER_OFFSETS
from tests import postgres_server
from tests.benchmarks.events import server_process
from tests.security import (
    auth_attacks,
    browser,
    connections,
    injection,
    malformed_bodies,
    outages,
    paths,
    schema_fuzz,
    signing,
    target,
)
from tests.security.assertions import Baseline, check_assertions
from tests.security.attack import Attack
from tests.security.counters import AttackCategory, Ledger

Work = Callable[[Attack], None]
CATEGORIES: dict[str, tuple[str, Work, bool]] = {
    "fuzz": ("schema-based fuzzing", schema_fuzz.run, False),
    "bodies": ("malformed and huge bodies", malformed_bodies.run, False),
    "signatures": ("invalid and expired signatures", signing.run, False),
    "injection": ("SQL, HTML and Unicode injection", injection.run, False),
    "browser": ("a browser on injected names", browser.run, False),
    "paths": ("paths, methods, request heads", paths.run, False),
    "duplicates": ("one message, 32 times concurrently", connections.repeat_messages, False),
    "csrf": ("forged forms (CSRF)", auth_attacks.forge_forms, False),
    "tokens": ("token guessing", auth_attacks.guess_tokens, False),
    "connections": ("too many connections", connections.exceed_limit, True),
    "disk": ("a full disk", outages.fill_disk, True),
    "database": ("database outages", outages.stop_database, True),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--small", action="store_true", help="A small run of each category, on SQLite."
    )
    parser.add_argument(
        "--json", action="store_true", help="Print one JSON object instead of tables."
    )
    parser.add_argument("--only", nargs="+", choices=CATEGORIES, help="Only these categories.")
    parser.add_argument("--on", choices=["sqlite", "postgresql"], help="Only this database.")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (8_192, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    databases = (
        [options.on] if options.on else ["sqlite"] if options.small else ["sqlite", "postgresql"]
    )
    results = {}
    for name in databases:
        results[name] = run_on_database(name, options)
        if not options.json:
            print(format_table(name, results[name]), flush=True)  # noqa: T201
    holds = all(each["holds"] for each in results.values())
    if options.json:
        print(json.dumps({"holds": holds, **results}, indent=2))  # noqa: T201
    sys.exit(not holds)


def run_on_database(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run the attack on one database."""
    with TemporaryDirectory(prefix="attack") as folder, open_database(name) as database:
        url = postgres_server.build_url(database) if database else None
        company = target.build_target(Path(folder, "company"), url)
        with server_process.run_server(company.config) as server:
            server_process.wait_until("the first heartbeat", lambda: has_offset(company), 120)
            ledger, share = Ledger(company), 0.05 if options.small else 1.0
            attack = Attack(company, server, ledger, share, database, random.Random(options.seed))  # noqa: S311
            warm_up(attack)
            before = Baseline(server.measure_memory_mb()["server"], server.find_consumer_pid())
            categories = [run_category(attack, each) for each in options.only or CATEGORIES]
            outages.restart_database(attack)
            assertions = check_assertions(company, server, ledger, categories, before)
        company.engine.dispose()
    return {
        "categories": [category.as_json() for category in categories],
        "assertions": [vars(each) for each in assertions],
        "requests": sum(category.requests for category in categories),
        "seconds": round(sum(category.seconds for category in categories)),
        "holds": all(not category.violations for category in categories)
        and all(each.holds for each in assertions),
    }


def run_category(attack: Attack, name: str) -> AttackCategory:
    title, work, may_return_503 = CATEGORIES[name]
    category, started = AttackCategory(title, may_return_503), time.monotonic()
    print(f"{title} …", file=sys.stderr, flush=True)  # noqa: T201
    try:
        work(replace(attack, category=category))
    except Exception as error:  # recorded, and the other categories run
        category.check("did not finish", holds=False, observed=error)
    category.seconds = time.monotonic() - started
    return category


def warm_up(attack: Attack) -> None:
    """Send some valid requests before memory is measured."""
    connection = attack.connect()
    for _ in range(20):
        for path in ("/", "/list.csv", "/model", "/runs", "/feedback.csv", "/account?id=acc_00100"):
            attack.request_page(connection, "GET", path, "lead")
        for source in ("generic", "segment"):
            attack.post_valid_event(connection, source)
    assert not attack.category.violations, attack.category.violations
    connection.close()


def has_offset(company: target.Target) -> bool:
    with store.read_transaction(company.engine) as connection:
        return connection.scalar(CONSUMER_OFFSETS.select()) is not None


def open_database(name: str) -> AbstractContextManager[Any]:
    return nullcontext() if name == "sqlite" else postgres_server.start_postgres()


def format_table(name: str, result: dict[str, Any]) -> str:
    """Format the results as Markdown."""
    rows = [f"\n{name}: {result['requests']:,} requests, {result['seconds']} s\n"]
    rows += ["| category | requests | responses | s | holds |", "|---|---:|---|---:|---|"]
    for category in result["categories"]:
        responses = ", ".join(f"{status}: {n:,}" for status, n in category["statuses"].items())
        requests, seconds = f"{category['requests']:,}", f"{category['seconds']:.0f}"
        cells = (category["category"], requests, responses, seconds, format_result(category))
        rows.append(f"| {' | '.join(cells)} |")
    rows += ["", "| assertion | observed | holds |", "|---|---|---|"]
    rows += [
        f"| {each['text']} | {each['observed']} | {format_result(each)} |"
        for each in result["assertions"]
    ]
    rows += [
        "",
        *(
            f"{category['category']}: {category['figures']}"
            for category in result["categories"]
            if category["figures"]
        ),
    ]
    rows += [
        f"\n{category['category']}: {each}"
        for category in result["categories"]
        for each in category["violations"]
    ]
    return "\n".join(rows)


def format_result(entry: dict[str, Any]) -> str:
    return "yes" if entry["holds"] else "**no**"


if __name__ == "__main__":
    main()

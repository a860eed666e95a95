"""The sender and a folder of files: killed anywhere, nothing is lost, doubled, or written over."""

import csv
import json
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from serving import state
from serving.crm.files import Files
from serving.outbox import sender
from serving.outbox.wanted import digest
from serving.state.schema import OUTBOX

FIRST = date(2026, 6, 1)
CHILD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from serving import state
from serving.crm.files import Files
from serving.outbox import sender
engine = state.open(sys.argv[1])
target = Files(Path(sys.argv[2]), "csv")
print("ready", flush=True)
try:
    sender.send(engine, target, now=datetime.now(UTC))
finally:
    target.close()
print("done", flush=True)
"""


def wanted(accounts, week):
    """(kind, key) → account and fields, as they should stand in a week."""
    rows = {}
    for number in range(accounts):
        key = f"acc{number:05}"
        told = {"as_of": str(FIRST + timedelta(weeks=week)), "rank": number + 1}
        rows["account", key] = (key, {**told, "name": f"=Acme {number}", "signals": f"a\nb {week}"})
        if number % 5 == 0:
            episode = f"{key}:seats:1"
            rows["opportunity", episode] = (key, {"state": "open", "amount": float(week * 100)})
            task = {"subject": f"@talk {number}", "state": "open" if week < 2 else "expanded"}
            rows["task", f"{episode}:talk"] = (key, task)
    return rows


def fill(engine, accounts, week):
    rows = [
        {
            "target": "files",
            "kind": kind,
            "key": key,
            "account_id": account,
            "limit": None if kind == "account" else "seats",
            "as_of": FIRST + timedelta(weeks=week),
            "run_id": week + 1,
            "place": place,
            "fields": fields,
            "digest": digest(fields),
        }
        for place, ((kind, key), (account, fields)) in enumerate(wanted(accounts, week).items())
    ]
    with state.writing(engine) as connection:
        connection.execute(sa.delete(OUTBOX))
        connection.execute(sa.insert(OUTBOX), rows)


def rows_of(file):
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def differences(folder, accounts, week, edited):
    """What is not as it should be, told by a reader of CSV that knows nothing of ours."""
    found = []
    kinds = {"account": "account_id", "opportunity": "key", "task": "key"}
    for kind, name in kinds.items():
        file = {"account": "accounts", "opportunity": "opportunities", "task": "tasks"}[kind]
        rows = rows_of(folder / f"{file}.csv")
        standing = {row[name]: row for row in rows}
        if len(standing) != len(rows):
            found.append(f"{kind}: doubled rows")
        for (this, key), (_, fields) in wanted(accounts, week).items():
            if this != kind:
                continue
            for field, value in fields.items():
                told = value if isinstance(value, str) else str(value)
                guarded = f"'{told}" if told[0] in "=@" else told
                expected = edited.get((kind, key, field), guarded)
                if key not in standing or standing[key][field] != expected:
                    found.append(f"{key} {field}")
    return found


def edit(folder, kind, name, draw, edited):
    """As a person: change one cell of ours in some row, and save the file."""
    file = folder / f"{kind}.csv"
    rows = rows_of(file) if file.exists() else []
    if not rows:
        return
    row = rows[draw.integers(len(rows))]
    field = {"accounts": "signals", "opportunities": "amount"}[kind]
    row[field] = f"mine {draw.integers(1000)}"
    edited[{"accounts": "account", "opportunities": "opportunity"}[kind], row[name], field] = row[
        field
    ]
    with file.open("w", newline="", encoding="utf-8") as opened:
        lines = csv.DictWriter(opened, list(rows[0]))
        lines.writeheader()
        lines.writerows(rows)


@pytest.fixture
def engine(tmp_path):
    return state.open(f"sqlite:///{tmp_path / 'state.db'}")


def test_a_list_is_in_the_files_once_and_a_second_sending_asks_for_nothing(engine, tmp_path):
    target = Files(tmp_path / "drop", "csv")
    target.setup()
    fill(engine, 60, week=0)

    first = sender.send(engine, target, now=datetime.now(UTC))
    target.close()
    again = sender.send(engine, target, now=datetime.now(UTC))

    assert (first.written, again.written) == (84, 0)
    assert differences(tmp_path / "drop", 60, 0, {}) == []
    assert first.requests == 7  # one read and one write per kind, and who was dealt with


@pytest.mark.slow
def test_a_delivery_killed_at_any_moment_ends_as_wanted_with_every_edit_kept(engine, tmp_path):
    folder, draw, edited, struck = tmp_path / "drop", np.random.default_rng(11), {}, 0
    Files(folder, "csv").setup()
    child = [sys.executable, "-c", CHILD, str(engine.url), str(folder)]
    for week in range(3):
        fill(engine, 400, week)
        for _ in range(10):
            with subprocess.Popen(child, stdout=subprocess.PIPE, text=True) as process:
                process.stdout.readline()
                time.sleep(draw.uniform(0, 0.6))
                process.send_signal(signal.SIGKILL)
                struck += process.stdout.read() != "done\n"
            edit(folder, "accounts", "account_id", draw, edited)
            edit(folder, "opportunities", "key", draw, edited)
        subprocess.run(child, check=True, capture_output=True)

        assert differences(folder, 400, week, edited) == []
    assert struck > 10
    assert (
        json.loads((folder / "manifest.json").read_text())["files"]["accounts.csv"]["rows"] == 400
    )

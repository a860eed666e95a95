"""The sender and the file export: killed anywhere, every file ends as desired."""

import csv
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from click.testing import CliRunner

from serving import store
from serving.cli.main import main
from serving.delivery import status
from serving.delivery.crm.files import FilesTarget
from serving.delivery.reconcile import rollback, sender
from tests.fakes.desired_objects import FIRST_MONDAY, build_row, replace_desired_objects
from tests.resilience import state_checker

FILES = {"account": "accounts.csv", "opportunity": "opportunities.csv", "task": "tasks.csv"}
CHILD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from serving import store
from serving.delivery.crm.files import FilesTarget
from serving.delivery.reconcile import sender
engine = store.open_engine(sys.argv[1])
target = FilesTarget(engine, Path(sys.argv[2]), "csv")
print("ready", flush=True)
sender.send_pending(engine, target, now=datetime.now(UTC))
print("done", flush=True)
"""


def generate_desired(accounts, week):
    """Yield the desired objects of a week."""
    for number in range(accounts):
        key = f"acc{number:05}"
        common = {"as_of": str(FIRST_MONDAY + timedelta(weeks=week)), "rank": number + 1}
        texts = {"name": f"=Acme {number}", "signals": f"a\nb {week}"}
        yield build_row("account", key, key, number, common | texts)
        if number % 5 == 0:
            episode = f"{key}:seats:1"
            opportunity = {"state": "open", "amount": float(week * 100)}
            yield build_row("opportunity", episode, key, number, opportunity)
            task = {"subject": f"@talk {number}", "state": "open" if week < 2 else "expanded"}
            yield build_row("task", f"{episode}:talk", key, number, task)


def save_desired(engine, accounts, week):
    replace_desired_objects(engine, "files", generate_desired(accounts, week), week)


def read_rows(file):
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def check_files(folder, accounts, week):
    """Compare the files, as a plain CSV reader sees them, with the desired state."""
    state = [
        (kind, row["account_id" if kind == "account" else "key"], row)
        for kind, file in FILES.items()
        for row in read_rows(folder / file)
    ]
    desired = [
        row | {"fields": {name: to_cell(value) for name, value in row["fields"].items()}}
        for row in generate_desired(accounts, week)
    ]
    return state_checker.check_state(desired, state, {})


def to_cell(value):
    text = str(value)
    return f"'{text}" if text[0] in "=@" else text


@pytest.fixture
def engine(tmp_path):
    return store.open_engine(f"sqlite:///{tmp_path / 'state.db'}")


def test_a_list_is_exported_once_and_a_second_send_writes_nothing(engine, tmp_path):
    target = FilesTarget(engine, tmp_path / "drop", "csv")
    save_desired(engine, 60, week=0)

    first = sender.send_pending(engine, target, now=datetime.now(UTC))
    again = sender.send_pending(engine, target, now=datetime.now(UTC))

    assert (first.written, again.written) == (84, 0)
    assert check_files(tmp_path / "drop", 60, 0)
    assert first.requests == 7  # one read and one write per kind, and the CRM activity


def test_the_status_says_that_nothing_is_read_back(tmp_path):
    config = tmp_path / "expansion.toml"
    config.write_text('[crm]\nname = "files"\n')

    result = CliRunner().invoke(main, ["crm", "status", "-c", str(config)])

    assert "Nothing is read back" in result.output


def test_undo_restores_the_values_before_a_run_and_withdraws_what_it_created(engine, tmp_path):
    target = FilesTarget(engine, tmp_path, "csv")
    save_desired(engine, 10, week=0)
    sender.send_pending(engine, target, now=datetime.now(UTC))
    save_desired(engine, 10, week=1)
    sender.send_pending(engine, target, now=datetime.now(UTC))

    for run in (2, 1):
        rollback.roll_back_run(engine, "files", run)
        sender.send_pending(engine, target, now=datetime.now(UTC), run_id=-run)
        if run == 2:
            assert check_files(tmp_path, 10, 0)

    assert {row["state"] for row in read_rows(tmp_path / "opportunities.csv")} == {"withdrawn"}
    assert {row["rank"] for row in read_rows(tmp_path / "accounts.csv")} == {""}


def test_a_retried_object_stays_in_its_file(engine, tmp_path):
    target = FilesTarget(engine, tmp_path, "csv")
    save_desired(engine, 10, week=0)
    sender.send_pending(engine, target, now=datetime.now(UTC))

    status.requeue_rejected(engine, "files", ["acc00001"])
    sent = sender.send_pending(engine, target, now=datetime.now(UTC))

    assert sent.written == 0
    assert check_files(tmp_path, 10, 0)


@pytest.mark.slow
def test_an_export_killed_at_any_moment_ends_as_desired(engine, tmp_path):
    folder, draw, killed = tmp_path / "drop", np.random.default_rng(11), 0
    child = [sys.executable, "-c", CHILD, str(engine.url), str(folder)]
    for week in range(24):
        save_desired(engine, 400, week)
        with subprocess.Popen(child, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(draw.uniform(0, 0.15))
            process.send_signal(signal.SIGKILL)
            killed += process.stdout.read() != "done\n"
        if week % 4 == 0:
            subprocess.run(child, check=True, capture_output=True)

            assert check_files(folder, 400, week)
    assert killed > 10
    assert {file.name for file in folder.glob("*.csv")} == set(FILES.values())

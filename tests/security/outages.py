"""A full disk and database outages: 503, and no data loss."""

import json
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode

import sqlalchemy as sa
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from tests.security.attack import Attack
from tests.security.raw_http import RawConnection

_MAX_FILE_BYTES = 1_000_000
_MAX_FILE_BYTES_POSTGRES = 17_000_000  # larger than one WAL segment, which is preallocated
_MANY_EVENTS = 3_500
_SIZE = resource.RLIMIT_FSIZE
_AWAY_SECONDS = 3.0


def fill_disk(attack: Attack) -> None:
    """Limit file growth: pages are served and events rejected until there is space again."""
    connection = attack.connect()
    account = attack.target.list_portfolio("Ada")[41]
    form = attack.load_form(connection, account, "Ada")
    refused = 0
    with limit_file_size(attack):
        for number in range(60):
            name = attack.new_id("answer")
            body = urlencode(
                {**form, "form_id": name, "verdict": "wrong", "reason": "x" * 900}
            ).encode()
            response = attack.request_page(
                connection, "POST", f"/account?id={account}", "Ada", body=body
            )
            attack.expect_status("unexpected feedback status", response, 303, 503)
            refused += post_many(attack, connection) == 503
            page = attack.request_page(connection, "GET", "/", "lead")
            attack.expect_status("page not served", page, 200)
            path = "/list.csv" if number % 8 == 0 else "/feedback.csv"
            export = attack.request_page(connection, "GET", path, "lead")
            attack.expect_status("unexpected export status", export, 200, 503)
            if refused >= 5:
                break
    attack.check("the disk was never full", holds=refused > 0)
    attack.category.figures["refused"] = refused
    expect_recovery(attack)
    connection.close()


def stop_database(attack: Attack) -> None:
    """Stop the database under load, and restart it."""
    if attack.database is None:
        lock_sqlite(attack)
        return
    with generate_load(attack):
        for stop in (
            attack.database.stop,
            lambda: kill_database(attack),
            lambda: disconnect_clients(attack),
        ):
            time.sleep(1)
            pid = attack.database.get_pid()
            stop()
            if not is_running(pid):
                time.sleep(_AWAY_SECONDS * min(1, attack.scale * 4))
                restart_database(attack)
            expect_recovery(attack)
    attack.check("it never was away", holds=attack.category.statuses[503] > 0)


def restart_database(attack: Attack) -> None:
    """Start PostgreSQL if it is stopped; crash recovery may take a while."""
    if attack.database is not None:
        attempt = retry(
            retry=retry_if_exception_type((subprocess.SubprocessError, AssertionError)),
            stop=stop_after_delay(120),
            wait=wait_fixed(1),
            reraise=True,
        )
        attempt(attack.database.ensure_postgres_running)()
        attack.target.engine.dispose()


def lock_sqlite(attack: Attack) -> None:
    """Hold SQLite's write lock for some seconds."""
    with generate_load(attack):
        for _ in range(attack.scale_count(4)):
            with attack.target.engine.execution_options(writes=True).begin():
                time.sleep(_AWAY_SECONDS * min(1, attack.scale * 4))
            time.sleep(0.3)
    expect_recovery(attack)


def post_many(attack: Attack, connection: RawConnection) -> int:
    """Post a request full of events of an unknown account."""
    ids = [attack.new_id("many") for _ in range(_MANY_EVENTS)]
    now = time.time()
    events = [{"message_id": each, "account_id": "nobody", "timestamp": now} for each in ids]
    return attack.post_webhook(
        connection, "generic", json.dumps(events).encode(), valid_ids=ids
    ).status


@contextmanager
def generate_load(attack: Attack) -> Iterator[None]:
    """Send valid events and page requests over several connections in the background."""
    stop = threading.Event()

    def send() -> None:
        connection = attack.connect(timeout=60)
        while not stop.is_set():
            response = attack.post_valid_event(connection)
            attack.expect_status("unexpected event status", response, 200, 503)
            stop.wait(0.01)
        connection.close()

    def request_pages() -> None:
        connection = attack.connect(timeout=60)
        while not stop.is_set():
            for path in ("/", "/account?id=acc_00100", "/list.csv", "/health"):
                response = attack.request_page(connection, "GET", path, "lead")
                # A response that has started can only be cut off.
                right = {200, 503, 404} | ({0} if path == "/list.csv" else set())
                attack.check(
                    "unexpected page status",
                    holds=response.status in right,
                    observed=(path, response),
                )
            stop.wait(0.05)
        connection.close()

    threads = [threading.Thread(target=each) for each in (send, send, send, request_pages)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def expect_recovery(attack: Attack) -> None:
    """Check that the server recovers by itself within seconds."""
    started, connection = time.monotonic(), attack.connect()
    while attack.post_valid_event(connection).status != 200 and time.monotonic() < started + 30:
        time.sleep(0.2)
    seconds = time.monotonic() - started
    attack.category.figures["well_after_s"] = max(
        round(seconds, 1), attack.category.figures.get("well_after_s", 0)
    )
    attack.check("no recovery", holds=seconds < 30, observed=seconds)
    shown = [attack.request_page(connection, "GET", "/", "lead").status for _ in range(20)]
    attack.check("pages did not recover", holds=shown[-1] == 200, observed=shown)
    connection.close()


def kill_database(attack: Attack) -> None:
    """Stop the database immediately, like a power loss; committed data must survive."""
    pid = attack.database.get_pid()
    os.kill(pid, signal.SIGQUIT)
    end = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)


def disconnect_clients(attack: Attack) -> None:
    with attack.target.engine.connect() as connection, suppress(sa.exc.OperationalError):
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )


def is_running(pid: int) -> bool:
    """Return True if the process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def limit_file_size(attack: Attack) -> Iterator[None]:
    """Limit the file size of the processes that write the database."""
    if attack.database is not None:
        restart_with_limit(attack, _MAX_FILE_BYTES_POSTGRES)
        try:
            expect_recovery(attack)
            yield
        finally:
            restart_with_limit(attack, resource.RLIM_INFINITY)
        return
    before = {pid: resource.prlimit(pid, _SIZE) for pid in list_writers(attack)}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, _SIZE, (_MAX_FILE_BYTES, hard))
    try:
        yield
    finally:
        usual = before[attack.server.process.pid]
        for pid in list_writers(attack):  # the worker may have been restarted
            resource.prlimit(pid, _SIZE, usual)


def list_writers(attack: Attack) -> list[int]:
    return [pid for pid in (attack.server.process.pid, attack.server.find_consumer_pid()) if pid]


def restart_with_limit(attack: Attack, room: int) -> None:
    """Restart PostgreSQL, which inherits the file size limit of its parent."""
    attack.database.stop()
    usual = resource.getrlimit(_SIZE)
    resource.setrlimit(_SIZE, (min(room, usual[1]) if usual[1] >= 0 else room, usual[1]))
    try:
        restart_database(attack)
    finally:
        resource.setrlimit(_SIZE, usual)

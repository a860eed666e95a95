"""A full disk, a database that goes and comes again: refused with 503, and nothing is lost."""

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
from attack import Attack
from ledger import Kind
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from wire import Line

_ROOM = 1_000_000
_ROOM_POSTGRES = 17_000_000  # more than a segment of its log: that is made whole
_MANY = 3_500
_SIZE = resource.RLIMIT_FSIZE
_AWAY_SECONDS = 3.0


def disk(at: Attack, kind: Kind) -> None:
    """No file may grow any more: pages are shown, events refused; then there is room again."""
    line = at.line()
    account = at.target.of("Ada")[41]
    form = at.form(kind, line, account, "Ada")
    refused = 0
    with _little_room(at, kind):
        for number in range(60):
            name = at.new_id("answer")
            body = urlencode({**form, "once": name, "verdict": "wrong", "why": "x" * 900}).encode()
            told = at.ask(kind, line, "POST", f"/account?id={account}", "Ada", body=body)
            kind.law("an answer", holds=told.status in {303, 503}, found=told)
            refused += _many(at, kind, line) == 503
            page = at.ask(kind, line, "GET", "/", "lead")
            kind.law("not shown", holds=page.status == 200, found=page)
            path = "/list.csv" if number % 8 == 0 else "/feedback.csv"
            sent = at.ask(kind, line, "GET", path, "lead")
            kind.law("no file", holds=sent.status in {200, 503}, found=sent)
            if refused >= 5:
                break
    kind.law("the disk was never full", holds=refused > 0)
    kind.told["refused"] = refused
    _well_again(at, kind)
    line.close()


def away(at: Attack, kind: Kind) -> None:
    """The database stops in the middle of the load, and comes again."""
    if at.database is None:
        _locked(at, kind)
        return
    with _load(at, kind):
        for stop in (at.database.stop, lambda: _killed(at), lambda: _disconnected(at)):
            time.sleep(1)
            pid = at.database.get_pid()
            stop()
            if not _runs(pid):
                time.sleep(_AWAY_SECONDS * min(1, at.share * 4))
                there_again(at)
            _well_again(at, kind)
    kind.law("it never was away", holds=kind.statuses[503] > 0)


def there_again(at: Attack) -> None:
    """Start PostgreSQL where it does not run; what it has to repair may take it a while."""
    if at.database is not None:
        attempt = retry(
            retry=retry_if_exception_type((subprocess.SubprocessError, AssertionError)),
            stop=stop_after_delay(120),
            wait=wait_fixed(1),
            reraise=True,
        )
        attempt(at.database.ensure_postgres_running)()
        at.target.engine.dispose()


def _locked(at: Attack, kind: Kind) -> None:
    """Of SQLite: another writer holds it for some seconds."""
    with _load(at, kind):
        for _ in range(at.times(4)):
            with at.target.engine.execution_options(writes=True).begin():
                time.sleep(_AWAY_SECONDS * min(1, at.share * 4))
            time.sleep(0.3)
    _well_again(at, kind)


def _many(at: Attack, kind: Kind, line: Line) -> int:
    """Events of an account that nobody knows, as many as a request may hold."""
    ids = [at.new_id("many") for _ in range(_MANY)]
    now = time.time()
    told = [{"message_id": each, "account_id": "nobody", "timestamp": now} for each in ids]
    return at.post(kind, line, "generic", json.dumps(told).encode(), honest=ids).status


@contextmanager
def _load(at: Attack, kind: Kind) -> Iterator[None]:
    """Honest events, and pages, over some connections, all the while."""
    over = threading.Event()

    def send() -> None:
        line = at.line(patience=60)
        while not over.is_set():
            answer = at.honest(kind, line)
            kind.law("an event", holds=answer.status in {200, 503}, found=answer)
            over.wait(0.01)
        line.close()

    def look() -> None:
        line = at.line(patience=60)
        while not over.is_set():
            for path in ("/", "/account?id=acc_00100", "/list.csv", "/health"):
                answer = at.ask(kind, line, "GET", path, "lead")
                # A file that was begun can only be broken off.
                right = {200, 503, 404} | ({0} if path == "/list.csv" else set())
                kind.law("a page", holds=answer.status in right, found=(path, answer))
            over.wait(0.05)
        line.close()

    threads = [threading.Thread(target=each) for each in (send, send, send, look)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _well_again(at: Attack, kind: Kind) -> None:
    """It recovers by itself, within seconds."""
    started, line = time.monotonic(), at.line()
    while at.honest(kind, line).status != 200 and time.monotonic() < started + 30:
        time.sleep(0.2)
    seconds = time.monotonic() - started
    kind.told["well_after_s"] = max(round(seconds, 1), kind.told.get("well_after_s", 0))
    kind.law("not well again", holds=seconds < 30, found=seconds)
    shown = [at.ask(kind, line, "GET", "/", "lead").status for _ in range(20)]
    kind.law("pages not well again", holds=shown[-1] == 200, found=shown)
    line.close()


def _killed(at: Attack) -> None:
    """At once, as by a loss of power: what it had said was kept is there when it comes again."""
    pid = at.database.get_pid()
    os.kill(pid, signal.SIGQUIT)
    end = time.monotonic() + 20
    while _runs(pid) and time.monotonic() < end:
        time.sleep(0.05)


def _disconnected(at: Attack) -> None:
    with at.target.engine.connect() as connection, suppress(sa.exc.OperationalError):
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )


def _runs(pid: int) -> bool:
    """Whether a process is there that is not only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def _little_room(at: Attack, kind: Kind) -> Iterator[None]:
    """Let no file of those who write the database grow beyond a size."""
    if at.database is not None:
        _started_again(at, _ROOM_POSTGRES)
        try:
            _well_again(at, kind)
            yield
        finally:
            _started_again(at, resource.RLIM_INFINITY)
        return
    before = {pid: resource.prlimit(pid, _SIZE) for pid in _writers(at)}
    for pid, (_, hard) in before.items():
        resource.prlimit(pid, _SIZE, (_ROOM, hard))
    try:
        yield
    finally:
        usual = before[at.at.process.pid]
        for pid in _writers(at):  # the watcher may be another by now
            resource.prlimit(pid, _SIZE, usual)


def _writers(at: Attack) -> list[int]:
    return [pid for pid in (at.at.process.pid, at.at.watcher()) if pid]


def _started_again(at: Attack, room: int) -> None:
    """PostgreSQL belongs to another user, and takes its room from whoever starts it."""
    at.database.stop()
    usual = resource.getrlimit(_SIZE)
    resource.setrlimit(_SIZE, (min(room, usual[1]) if usual[1] >= 0 else room, usual[1]))
    try:
        there_again(at)
    finally:
        resource.setrlimit(_SIZE, usual)

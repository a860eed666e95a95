"""The serve command: prints the URL, answers fast, reports errors in one line."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from serving import store
from serving.cli.main import main
from tests.integration.web.web_client import build_rows, open_web_fixture, write_list

PATHS = ("/", "/?csm=Ada", "/?q=mill+77", "/?sort=name&page=90", "/account?id=acc_07777")
PATHS += ("/?when=ready&tier=1&segment=large", "/model", "/runs")
SECONDS = 0.1


@contextmanager
def run_command(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command as an operator does, on a free port."""
    config = folder / "expansion.toml"
    config.write_text(f"[database]\nurl = 'sqlite:///{folder / 'crm.db'}'\n")
    command = [sys.executable, "-c", "from serving.cli.main import main; main()", "serve"]
    process = subprocess.Popen(
        [*command, "-c", str(config), "--port", "0", "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            yield json.loads(process.stdout.readline())["url"], process
        finally:
            process.kill()


@pytest.mark.slow
def test_ten_thousand_accounts_answer_in_a_tenth_of_a_second(tmp_path: Path) -> None:
    with open_web_fixture(tmp_path, count=10_000):
        pass
    with run_command(tmp_path) as (url, _), httpx.Client(base_url=url) as client:
        for path in PATHS:
            times = []
            for _ in range(11):
                response = client.get(path)
                assert response.status_code == 200
                times.append(response.elapsed.total_seconds())

            # Slower responses depend on other load of the machine.
            assert sorted(times)[2] < SECONDS, (path, times)


@pytest.mark.slow
def test_the_server_stops_on_sigterm(tmp_path: Path) -> None:
    engine = store.open_engine(f"sqlite:///{tmp_path / 'crm.db'}")
    write_list(engine, build_rows(3))
    engine.dispose()
    with run_command(tmp_path) as (url, process):
        assert "acc_00002" in httpx.get(url).text

        process.send_signal(signal.SIGTERM)

        assert process.wait(15) in {0, -signal.SIGTERM}


def test_a_port_in_use_is_reported_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "expansion.toml").write_text("")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        response = CliRunner().invoke(
            main, ["serve", "-c", str(tmp_path / "expansion.toml"), "--port", str(port)]
        )

    assert (response.exit_code, response.stdout) == (1, "")
    assert response.stderr.startswith(f"Error: cannot listen on 127.0.0.1, port {port} (")


def test_a_public_address_without_authentication_is_refused(tmp_path: Path) -> None:
    (tmp_path / "expansion.toml").write_text("")

    response = CliRunner().invoke(
        main,
        ["serve", "-c", str(tmp_path / "expansion.toml"), "--host", "0.0.0.0"],  # noqa: S104
    )

    assert response.exit_code == 1
    assert response.stderr.startswith("Error: web: on an address that others can reach")
    assert response.stderr.count("\n") == 1

"""A simulated company whose log ends with the last month, with a model and a first list."""

import subprocess
import sys
from datetime import date
from pathlib import Path

from data import simulator

MORE = """
[webhooks]
generic_secret = "${BENCH_SECRET}"
[web]
webhook_requests_per_minute = 1000000
"""


def made(folder: Path, accounts: int, months: int) -> Path:
    """Its settings file; made anew unless it stands there whole."""
    config = folder / "expansion.toml"
    done = folder / "scored"
    if not done.exists():
        first_of_month = date.today().replace(day=1)  # noqa: DTZ011 - of this machine's log
        simulator.write_company(
            folder, accounts=accounts, months=months, seed=7, end=first_of_month
        )
        for words in (["train", "--no-promote"], ["promote", "--force", "for the bench"]):
            run(config, *words)
        config.write_text(
            config.read_text()
            .replace('as_of = "data end"', 'as_of = "today"')
            .replace("[tables]", "[scoring]\nmax_log_age_days = 60\n\n[tables]")
        )
        run(config, "score")
        with config.open("a") as file:
            file.write(MORE)
        done.touch()
    return config


def run(config: Path, command: str, *words: str) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("expansion"), command, "-c", config, *words],
        check=True,
        stdout=subprocess.DEVNULL,
    )

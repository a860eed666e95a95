"""The `backtest` command: replay strategies on past data with equal capacity."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from serving.cli.commands import options
from serving.cli.output import backtest_tables, terminal

__all__ = ["backtest"]


@click.command()
@options.config_option
@options.as_of_option
@options.html_option
@options.json_option
def backtest(config: Path, as_of: datetime | None, page: Path | None, as_json: bool) -> None:
    """Replay history day by day: today's rules of thumb against the model's list.

    Every strategy gets the same hours of the same CSMs ([team] and [backtest] in the settings) and
    sees only data known before each day. The result shows for each strategy the expansions
    detected, how early, and the number of false alarms. It also lists what a replay cannot show.

    With --json the object has days, team, settings, and: "strategies", each with "name", "rule",
    "metrics" (name to value, low, high; "definitions" explains each), its counts and "claim";
    "unavailable", strategies that were not replayed, and why; "notes", "limitations", "verdict".

    Example: expansion backtest -c data/local/demo/expansion.toml --html backtest.html
    """
    from training.backtest import run_backtest

    settings, now = options.load_settings_and_time(config)
    with terminal.show_progress() as progress:
        history = options.build_history(settings, now, as_of, progress)
        result = run_backtest(history, settings, progress=progress)
    if page is not None:
        from training.report import backtest_page

        options.write_page(page, backtest_page.render_backtest_page(result))
    if as_json:
        terminal.print_json(result.to_dict())
    else:
        backtest_tables.print_backtest(result)

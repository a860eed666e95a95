"""The `backtest` command: replay strategies on past data with equal capacity."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from serving.cli.commands import options

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
    from data.io import atomic
    from serving.cli import output
    from training import backtest as replayed

    settings, now = options.load_settings_and_time(config)
    with output.show_progress() as progress:
        history = options.build_history(settings, now, as_of, progress)
        result = replayed.run_backtest(history, settings, progress=progress)
    if page is not None:
        from training.report import backtest_page as report

        text = report.render_backtest_page(result)
        atomic.atomic_write(page, lambda draft: draft.write_text(text, encoding="utf-8"))
    if as_json:
        output.print_json(result.to_dict())
    else:
        output.print_backtest(result)

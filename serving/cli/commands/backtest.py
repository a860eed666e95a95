"""The command that replays history: the ways of working side by side, with the same hours."""

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
    """Replay history day by day: the rules of today beside the model's list.

    Every way of working gets the same hours of the same CSMs ([team] and [backtest] in the
    settings), and sees on each day only what was known before it. The answer tells what each would
    have caught, how early, and for how many false alarms; and what hindsight cannot know.

    With --json the object has, beside days, team and settings: "ways", each with "name", "rule",
    "figures" (name to value, low, high; "definitions" says what each means), its counts and
    "claim"; "absent", ways that could not be replayed, and why; "notes", "hindsight", "verdict".

    Example: expansion backtest -c data/local/demo/expansion.toml --html backtest.html
    """
    from data.io import atomic
    from serving.cli import output
    from training import backtest as replayed

    settings, now = options.load_settings_and_time(config)
    with output.show_progress() as stage:
        history = options.build_history(settings, now, as_of, stage)
        result = replayed.run_backtest(history, settings, progress=stage)
    if page is not None:
        from training.report import backtest_page as report

        text = report.render_backtest_page(result)
        atomic.atomic_write(page, lambda draft: draft.write_text(text, encoding="utf-8"))
    if as_json:
        output.print_json(result.to_dict())
    else:
        output.print_backtest(result)

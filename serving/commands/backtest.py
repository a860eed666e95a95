"""The command that replays history: the ways of working side by side, with the same hours."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from serving.commands import options

__all__ = ["backtest"]


@click.command()
@options.config
@options.as_of
@options.html
@options.as_json
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
    from data import writing
    from serving import console
    from training import backtest as replayed

    settings, now = options.opened(config)
    with console.stages() as stage:
        past = options.history(settings, now, as_of, stage)
        found = replayed.run(past, settings, progress=stage)
    if page is not None:
        from serving.report import backtest as report

        text = report.html(found)
        writing.atomically(page, lambda draft: draft.write_text(text, encoding="utf-8"))
    if as_json:
        console.emit(found.told())
    else:
        console.backtested(found)

"""The `promote` and `rollback` commands: change the champion model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from serving.cli.commands import options

__all__ = ["promote", "rollback"]


@click.command()
@options.config_option
@click.option(
    "--force", metavar="REASON", help="Promote despite the gate decision; requires a reason."
)
@options.json_option
def promote(config: Path, force: str | None, as_json: bool) -> None:
    """Promote the challenger to champion, if it passed the gate.

    The next list uses it. The user, time and reason are stored with the version.

    Example: expansion promote --force "agreed with sales for the pilot"
    """
    from serving.cli import output
    from training import registry

    settings, _ = options.load_settings_and_time(config)
    promotion = registry.promote(settings, force=force)
    if as_json:
        output.print_json(asdict(promotion))
    else:
        output.print_promotion(promotion)


@click.command()
@options.config_option
@options.json_option
def rollback(config: Path, as_json: bool) -> None:
    """Restore the previous champion; a second rollback undoes the first.

    Example: expansion rollback -c data/local/demo/expansion.toml
    """
    from serving.cli import output
    from training import registry

    settings, _ = options.load_settings_and_time(config)
    promotion = registry.rollback(settings)
    if as_json:
        output.print_json(asdict(promotion))
    else:
        output.print_promotion(promotion)

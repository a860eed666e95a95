"""Commands about the champion: put the challenger in its place, and take that back."""

from __future__ import annotations

from pathlib import Path

import click

from serving.cli.commands import options

__all__ = ["promote", "rollback"]


@click.command()
@options.config_option
@click.option("--force", metavar="REASON", help="Promote it whatever the gate said, for a reason.")
@options.json_option
def promote(config: Path, force: str | None, as_json: bool) -> None:
    """Make the challenger the champion, if the gate let it pass.

    The weekly list is then by it. Who did so, when and why is kept with the version.

    Example: expansion promote --force "agreed with sales for the pilot"
    """
    from serving.cli import output
    from training import registry

    settings, _ = options.load_settings_and_time(config)
    promotion = registry.promote(settings, force=force)
    if as_json:
        output.print_json(promotion.to_dict())
    else:
        output.print_promotion(promotion)


@click.command()
@options.config_option
@options.json_option
def rollback(config: Path, as_json: bool) -> None:
    """Go back to the champion of before; once more, and nothing has changed.

    Example: expansion rollback -c data/local/demo/expansion.toml
    """
    from serving.cli import output
    from training import registry

    settings, _ = options.load_settings_and_time(config)
    promotion = registry.rollback(settings)
    if as_json:
        output.print_json(promotion.to_dict())
    else:
        output.print_promotion(promotion)

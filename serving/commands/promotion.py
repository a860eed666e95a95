"""Commands about the champion: put the challenger in its place, and take that back."""

from __future__ import annotations

from pathlib import Path

import click

from serving.commands import options

__all__ = ["promote", "rollback"]


@click.command()
@options.config
@click.option("--force", metavar="REASON", help="Promote it whatever the gate said, for a reason.")
@options.as_json
def promote(config: Path, force: str | None, as_json: bool) -> None:
    """Make the challenger the champion, if the gate let it pass.

    The weekly list is then by it. Who did so, when and why is kept with the version.

    Example: expansion promote --force "agreed with sales for the pilot"
    """
    from serving import console
    from training import registry

    settings, _ = options.opened(config)
    made = registry.promote(settings, force=force)
    if as_json:
        console.emit(made.told())
    else:
        console.promoted(made)


@click.command()
@options.config
@options.as_json
def rollback(config: Path, as_json: bool) -> None:
    """Go back to the champion of before; once more, and nothing has changed.

    Example: expansion rollback -c data/local/demo/expansion.toml
    """
    from serving import console
    from training import registry

    settings, _ = options.opened(config)
    made = registry.rollback(settings)
    if as_json:
        console.emit(made.told())
    else:
        console.promoted(made)

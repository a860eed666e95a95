"""The command line; each command opens only the doors it needs, so ``--help`` answers at once."""

from __future__ import annotations

from typing import Any

import click

from data.errors import ExpansionError
from serving.cli.commands import (
    backtest,
    crm,
    datasets,
    digest,
    models,
    promotion,
    scored_list,
    serve,
)

__all__ = ["main"]


class _SingleLineErrorGroup(click.Group):
    """An error that a user can put right is one line and exit code 1, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader of a pipe has seen enough; click leaves in silence
        except (ExpansionError, OSError) as error:
            raise click.ClickException(" ".join(str(error).split())) from error


@click.group(cls=_SingleLineErrorGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="expansion-propensity")
def main() -> None:
    """Which accounts will expand within 60 days, why, and from which date to talk."""


for command in (
    datasets.simulate,
    datasets.check,
    datasets.features,
    models.train,
    models.evaluate,
    backtest.backtest,
    models.explain_exclusion,
    promotion.promote,
    promotion.rollback,
    scored_list.score,
    scored_list.show,
    crm.crm,
    digest.digest,
    serve.serve,
):
    main.add_command(command)

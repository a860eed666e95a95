"""Command-line entry point; commands import heavy libraries lazily, so ``--help`` is fast."""

from __future__ import annotations

from typing import Any

import click

from data.errors import ExpansionError
from serving.cli.commands import backtest, crm, datasets, digest, models, scored_list, serve

__all__ = ["main"]


class _SingleLineErrorGroup(click.Group):
    """Command group that prints expected errors as one line and exits with code 1."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader closed the pipe; click exits silently
        except (ExpansionError, OSError) as error:
            raise click.ClickException(" ".join(str(error).split())) from error


@click.group(cls=_SingleLineErrorGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="expansion-propensity")
def main() -> None:
    """Predict which accounts will expand within 60 days, why, and when to contact them."""


for command in (
    datasets.simulate,
    datasets.check,
    datasets.features,
    models.train,
    models.evaluate,
    backtest.backtest,
    models.explain_exclusion,
    models.promote,
    models.rollback,
    scored_list.score,
    scored_list.show,
    crm.crm,
    digest.digest,
    serve.serve,
):
    main.add_command(command)

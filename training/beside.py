"""The champion beside the model: what its settings would have been worth at the same cuts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from data.settings import Settings
from training import judgement
from training.evaluate import Evaluation
from training.metrics import Figure
from training.rival import Rival

__all__ = ["Beside", "champion"]

_KEYS = ["account_id", "as_of"]


@dataclass(frozen=True)
class Beside:
    """The champion's figures, and how far the model is ahead.

    Attributes
    ----------
    note : str
        Which champion, and whether it was walked; or why it was not.
    figures : mapping of str to training.metrics.Figure
        Those of the model, of the champion's probability; empty where it was not walked, or says
        the same as the model.
    ahead : training.metrics.Figure or None
        The model's precision at capacity less the champion's, on the same draws.
    """

    note: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    ahead: Figure | None = None

    def __repr__(self) -> str:
        return f"Beside({self.note})"


def champion(walked: Evaluation, rival: Rival, settings: Settings) -> Beside:
    """Judge what the champion would have said on what the model was judged on.

    Parameters
    ----------
    walked : training.evaluate.Evaluation
        The model's walk.
    rival : training.rival.Rival
        From :func:`training.rival.walk`.
    settings : data.settings.Settings
        Capacity, draws and seed.
    """
    mine = walked.predictions
    if rival.predictions is None or rival.predictions["probability"].equals(mine["probability"]):
        return Beside(rival.note)
    theirs = rival.predictions.select(*_KEYS, champion="probability")
    both = mine.join(theirs, on=_KEYS, how="inner", maintain_order="left")
    said = both.with_columns(probability=pl.col("champion"))
    figures = judgement.of_model(said, settings)
    return Beside(rival.note, figures, judgement.over(both, "champion", settings))

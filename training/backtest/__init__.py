"""History replayed day by day: how would each way of working have done, with the same hours?"""

from training.backtest.replay import run
from training.backtest.result import FIGURES, Backtest, Way

__all__ = ["FIGURES", "Backtest", "Way", "run"]

"""History replayed day by day: how would each way of working have done, with the same hours?"""

from training.backtest.replay import run_backtest
from training.backtest.result import BACKTEST_METRICS, BacktestResult, StrategyResult

__all__ = ["BACKTEST_METRICS", "BacktestResult", "StrategyResult", "run_backtest"]

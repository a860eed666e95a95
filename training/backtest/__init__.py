"""Day-by-day backtest of contact strategies on a company's history, with equal team capacity."""

from training.backtest.replay import run_backtest
from training.backtest.result import BACKTEST_METRICS, BacktestResult, StrategyResult

__all__ = ["BACKTEST_METRICS", "BacktestResult", "StrategyResult", "run_backtest"]

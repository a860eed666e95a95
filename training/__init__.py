"""Training, evaluation, promotion and backtesting of the expansion model."""

__all__ = [
    "backtest",
    "data_quality",
    "dataset",
    "evaluation",
    "explain",
    "labels",
    "metrics",
    "model",
    "pipeline",
    "promotion",
    "registry",
    "report",
    "rules",
    "tuning",
]

"""What does that say about the next 60 days?"""

__all__ = [
    "baselines",
    "date_metrics",
    "evaluate",
    "model",
    "outcomes",
    "pipeline",
    "registry",
    "signals",
    "splits",
]

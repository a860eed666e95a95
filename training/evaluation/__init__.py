"""Evaluation: walk-forward validation, baselines and metrics per cutoff."""

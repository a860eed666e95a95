"""Evaluation and backtest reports as self-contained HTML files for offline reading and print."""

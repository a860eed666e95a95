"""Data quality: the input report, leakage checks and exclusions."""

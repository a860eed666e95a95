"""Spark engine: the daily aggregates on a cluster (experimental)."""

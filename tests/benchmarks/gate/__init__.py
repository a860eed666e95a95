"""Benchmark of the promotion gate."""

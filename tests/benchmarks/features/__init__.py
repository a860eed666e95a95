"""Benchmark of the feature build."""

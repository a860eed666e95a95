"""Benchmark of the model."""

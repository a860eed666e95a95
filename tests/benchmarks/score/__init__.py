"""Benchmark of the weekly scoring."""

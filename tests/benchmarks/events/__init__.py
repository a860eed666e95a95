"""Benchmark of the event path."""

"""Benchmarks, run as modules; their pages are in ``docs/measured``."""

"""Benchmark of the web pages."""

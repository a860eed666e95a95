"""Metrics with confidence intervals from a cluster bootstrap."""

"""Planted leaks, which the leakage check finds."""

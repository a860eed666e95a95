"""Tests: fakes, unit and integration tests, fault injection, attacks and benchmarks."""

from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the repository

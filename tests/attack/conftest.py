"""Collect only the tests of the attack; the attack itself is a script."""

from pathlib import Path

_TESTS = {"conftest.py", "test_attack.py"}
collect_ignore = [
    each.name for each in Path(__file__).parent.glob("*.py") if each.name not in _TESTS
]

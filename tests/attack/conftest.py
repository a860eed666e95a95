"""The attack is run, not collected; what is collected are its tests."""

from pathlib import Path

_TESTS = {"conftest.py", "test_attack.py"}
collect_ignore = [
    each.name for each in Path(__file__).parent.glob("*.py") if each.name not in _TESTS
]

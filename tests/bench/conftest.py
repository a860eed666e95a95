"""The benchmark is run, not collected: its modules are no tests."""

collect_ignore_glob = ["*.py"]

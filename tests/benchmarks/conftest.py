"""Benchmarks run as scripts; pytest does not collect their modules."""

collect_ignore_glob = ["*.py"]

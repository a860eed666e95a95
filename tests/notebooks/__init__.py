"""Execution of the notebooks."""

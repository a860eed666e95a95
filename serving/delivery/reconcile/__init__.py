"""Reconciler: compares desired, last-applied and live values, and sends the differences."""

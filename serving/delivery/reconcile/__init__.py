"""Reconciliation: bring the CRM to the desired state by a three-way merge."""

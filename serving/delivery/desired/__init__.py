"""Desired state of the CRM, derived from a scored list."""

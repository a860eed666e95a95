"""Desired CRM state of a scored list: account fields, opportunities, tasks and episodes."""

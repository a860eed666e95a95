"""Salesforce: the target and the sender against the fake org."""

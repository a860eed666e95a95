"""Slack: alerts and the digest against the fake workspace."""

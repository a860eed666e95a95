"""Webhook ingestion, usage monitoring and alerts. See ``docs/guides/events.md``."""

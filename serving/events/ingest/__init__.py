"""Webhook ingestion: verify, parse and store incoming events."""

"""Webhook ingestion: signature verification, parsing and durable, idempotent storage."""

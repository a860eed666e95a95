"""Event path: webhooks, the consumer and alerts."""

"""Daily aggregates of the event log, cached per log partition."""

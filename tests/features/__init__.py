"""Feature layer."""

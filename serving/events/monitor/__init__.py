"""Event consumer: usage counters, threshold states and alerts."""

"""Event consumer: usage counters and threshold alerts with hysteresis."""

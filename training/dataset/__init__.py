"""Training data: labels, snapshots and bootstrap weights."""

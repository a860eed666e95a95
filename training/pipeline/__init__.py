"""Training runs: the propensity model, its fallback ranking and the churn model."""

"""Panel of snapshots: one row of features per account and as-of date."""

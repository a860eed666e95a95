"""Walk-forward validation of the model against baselines and reference models."""

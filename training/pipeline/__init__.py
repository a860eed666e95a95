"""Training pipeline: history, fit, walk-forward validation, calibration and gate."""

"""The propensity model: learners, horizons, calibration and predictions."""

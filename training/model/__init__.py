"""Propensity model: learners, blend, calibration, horizons and event date."""

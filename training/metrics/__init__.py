"""Metrics of rankings, probabilities, cumulative incidence and dates, with bootstrap intervals."""

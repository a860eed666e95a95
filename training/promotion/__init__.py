"""Promotion: the gate and the comparison of champion and challenger."""

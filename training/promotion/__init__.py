"""Promotion gate and champion/challenger comparison."""

"""Texts of a list row beyond its reasons: UI strings, changes, band history, low-evidence notes."""

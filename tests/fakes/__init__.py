"""Fake vendor APIs over real HTTP, each with the contract of its vendor."""

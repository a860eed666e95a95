"""Fake HubSpot portal over real HTTP: stored records, API operations and rate limits."""

"""Fake Salesforce over real HTTP: an in-memory org, SOQL queries and the REST API."""

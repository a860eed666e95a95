"""Salesforce as the CRM: accounts, opportunities, tasks. Setup: ``docs/guides/salesforce.md``."""

from serving.delivery.crm.salesforce.target import SalesforceTarget, create_target

__all__ = ["SalesforceTarget", "create_target"]

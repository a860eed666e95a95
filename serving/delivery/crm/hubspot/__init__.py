"""HubSpot as the CRM: companies, deals and tasks. Setup: ``docs/guides/hubspot.md``."""

from serving.delivery.crm.hubspot.target import HubSpotTarget, create_target

__all__ = ["HubSpotTarget", "create_target"]

"""Odoo as the CRM: partners, opportunities, activities. Setup: ``docs/guides/odoo.md``."""

from serving.delivery.crm.odoo.target import OdooTarget, create_target

__all__ = ["OdooTarget", "create_target"]

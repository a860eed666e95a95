"""Delivery to CRMs and Slack: a real Odoo, and fakes of the other vendors over HTTP."""

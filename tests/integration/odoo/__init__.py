"""Odoo: the target and the sender against a real Odoo 19."""

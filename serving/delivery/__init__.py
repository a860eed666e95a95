"""Delivery to a CRM: desired state, three-way merge with live values, and the sender."""

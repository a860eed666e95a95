"""Embedded CRM target: tables in the application's own database."""

from serving.delivery.crm.sql.target import SqlCrm, create_target

__all__ = ["SqlCrm", "create_target"]

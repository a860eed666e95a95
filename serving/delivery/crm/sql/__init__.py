"""Embedded CRM: three tables in the application's own SQL database."""

from serving.delivery.crm.sql.target import SqlTarget, create_target

__all__ = ["SqlTarget", "create_target"]

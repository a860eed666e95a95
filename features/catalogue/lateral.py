"""Lateral spread: the use case has left its first team."""

import polars as pl

from features.feature import Feature


def _spread(name: str, unit: str, signal: str, needs: str, direction: int = 0) -> Feature:
    return Feature(
        name=name,
        family="lateral",
        unit=unit,
        value=pl.col(name),
        signal=signal,
        window_days=90,
        silence=0,
        direction=1 if direction else 0,
        needs=needs,
    )


def _recency(name: str, signal: str, attribute: str) -> Feature:
    """Before anybody of a new department has used the product, somebody was given a login."""
    return Feature(
        name=f"days_since_new_{name}",
        family="lateral",
        unit="days",
        value=pl.col(f"since_new_{name}_days"),
        signal=signal,
        direction=-1,
        needs=f"users.created_at and users.{attribute}",
    )


FEATURES = (
    _spread("departments_90d", "departments", "departments", "users.department"),
    _spread("departments_new_90d", "departments", "departments", "users.department", direction=1),
    _recency("department", "departments", "department"),
    _spread("email_domains_90d", "domains", "domains", "users.email_domain"),
    _spread("email_domains_new_90d", "domains", "domains", "users.email_domain", direction=1),
    _recency("email_domain", "domains", "email_domain"),
)

"""Cross-department spread: use beyond the first team."""

import polars as pl

from features.catalogue.feature import Feature


def _group_feature(name: str, unit: str, signal: str, needs: str, direction: int = 0) -> Feature:
    return Feature(
        name=name,
        family="cross_department",
        unit=unit,
        value=pl.col(name),
        signal_group=signal,
        window_days=90,
        fill_value=0,
        direction=1 if direction else 0,
        requires=needs,
    )


def _recency_feature(name: str, signal: str, attribute: str) -> Feature:
    """Return the days since a new group's first login, which precedes its first use."""
    return Feature(
        name=f"days_since_new_{name}",
        family="cross_department",
        unit="days",
        value=pl.col(f"since_new_{name}_days"),
        signal_group=signal,
        direction=-1,
        requires=f"users.created_at and users.{attribute}",
    )


FEATURES = (
    _group_feature("departments_90d", "departments", "departments", "users.department"),
    _group_feature(
        "departments_new_90d", "departments", "departments", "users.department", direction=1
    ),
    _recency_feature("department", "departments", "department"),
    _group_feature("email_domains_90d", "domains", "domains", "users.email_domain"),
    _group_feature(
        "email_domains_new_90d", "domains", "domains", "users.email_domain", direction=1
    ),
    _recency_feature("email_domain", "domains", "email_domain"),
)

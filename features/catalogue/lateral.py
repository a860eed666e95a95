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


FEATURES = (
    _spread("departments_90d", "departments", "departments", "users.department"),
    _spread("departments_new_90d", "departments", "departments", "users.department", direction=1),
    _spread("email_domains_90d", "domains", "domains", "users.email_domain"),
    _spread("email_domains_new_90d", "domains", "domains", "users.email_domain", direction=1),
)

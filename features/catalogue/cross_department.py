"""Cross-department spread: use beyond the first team."""

from functools import partial
from typing import Literal

import polars as pl

from features.catalogue.feature import Feature

_feature = partial(Feature, family="cross_department")


def _count(name: str, unit: str, attribute: str, direction: Literal[0, 1] = 0) -> Feature:
    requires = f"users.{attribute}"
    return _feature(
        name, unit, pl.col(name), unit, 90, fill_value=0, direction=direction, requires=requires
    )


def _days_since(name: str, group: str, signal: str) -> Feature:
    """Return the days since a new group's first login, which precedes its first use."""
    requires = f"users.created_at and users.{group}"
    since = pl.col(f"since_new_{group}_days")
    return _feature(name, "days", since, signal, direction=-1, requires=requires)


FEATURES = (
    _count("departments_90d", "departments", "department"),
    _count("departments_new_90d", "departments", "department", direction=1),
    _days_since("days_since_new_department", "department", "departments"),
    _count("email_domains_90d", "domains", "email_domain"),
    _count("email_domains_new_90d", "domains", "email_domain", direction=1),
    _days_since("days_since_new_email_domain", "email_domain", "domains"),
)

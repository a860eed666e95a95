"""Errors that a user can cause: one family, each with a message and what to do next."""

__all__ = [
    "ContractError",
    "DeliveryError",
    "ExpansionError",
    "HistoryError",
    "ModelError",
    "SearchError",
    "SettingsError",
    "SourceError",
]


class ExpansionError(Exception):
    """An error a user can fix; the command line prints it as one line and exits with 1."""


class SettingsError(ExpansionError):
    """The settings file is missing, unreadable, or contains an unknown or invalid setting."""


class SourceError(ExpansionError):
    """A configured table cannot be reached or read."""


class ContractError(ExpansionError):
    """A table was read but does not match its schema."""


class HistoryError(ExpansionError):
    """The data is valid, but there is too little history for the request."""


class ModelError(ExpansionError):
    """There is no model, or its features do not match this version."""


class SearchError(ExpansionError):
    """The hyper-parameter search was interrupted, or its trials cannot be stored."""


class DeliveryError(ExpansionError):
    """The result could not be written to its destination."""

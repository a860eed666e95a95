"""Every error a user can cause, as one family: one sentence, and what to do next."""

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
    """Something a user can put right; the command line prints it as one line and exits with 1."""


class SettingsError(ExpansionError):
    """The settings file is missing, unreadable, or says something we do not know."""


class SourceError(ExpansionError):
    """A configured table cannot be reached or read."""


class ContractError(ExpansionError):
    """A table was read, but is not what its contract promises."""


class HistoryError(ExpansionError):
    """The data is sound, but too little of it is there for what was asked."""


class ModelError(ExpansionError):
    """There is no model, or it does not fit the features of this version."""


class SearchError(ExpansionError):
    """The search of the settings was interrupted, or cannot keep its trials."""


class DeliveryError(ExpansionError):
    """The result could not be written to where it belongs."""

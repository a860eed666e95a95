"""The one SQL database: what was said, what should be true at a CRM, what has become of it."""

from serving.state.database import alone, is_there, open, place, reading, writing

__all__ = ["alone", "is_there", "open", "place", "reading", "writing"]

"""The one SQL database: what was said, what should be true at a CRM, what has become of it."""

from serving.state.database import alone, open, place, reading, writing

__all__ = ["alone", "open", "place", "reading", "writing"]

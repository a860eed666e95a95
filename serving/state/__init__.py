"""The one SQL database: what was said, what should be true at a CRM, what has become of it."""

"""Text of the list rows: UI strings, changes, bands and notes."""

"""File output: atomic writes and the CSV formula-injection guard."""

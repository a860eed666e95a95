"""Terminal output of the commands: tables, progress bars, JSON."""

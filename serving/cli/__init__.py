"""Command-line interface: the ``expansion`` command."""

"""Web application."""

"""HTTP routes of the web pages."""

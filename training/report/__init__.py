"""Reports as single HTML files: to send to a colleague, opened offline, in light, dark or print."""

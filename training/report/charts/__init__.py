"""SVG charts of the report pages."""

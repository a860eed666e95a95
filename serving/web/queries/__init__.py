"""Read queries behind the pages."""

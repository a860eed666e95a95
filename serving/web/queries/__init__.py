"""Read models: database queries behind the pages."""

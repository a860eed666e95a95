"""Ingestion: read the input tables from files and SQL, map, cast and validate them."""

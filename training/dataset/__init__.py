"""Training data: label matrix, bootstrap weights and data lineage."""

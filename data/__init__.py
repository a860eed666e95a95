"""Data layer: settings, ingestion, validation and the simulator."""

import os

__all__ = [
    "config",
    "errors",
    "ingest",
    "io",
    "schemas",
    "simulator",
]

# Polars' allocator returns freed memory at once and requests it again for the next file. Keeping it
# for some seconds saves a tenth of the read time. The variable is read when Polars is imported.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:10000")

"""What do we know, and when did we come to know it?"""

import os

__all__ = ["contracts", "errors", "settings", "simulator", "sources"]

# Polars' allocator gives memory back at once and asks for it anew for the next file. To keep it for
# some seconds saves a tenth of the time in which a log is read. It looks here when it is loaded.
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:10000")

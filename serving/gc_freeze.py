"""Garbage collection: freeze long-lived objects to avoid pauses of 100 ms and more."""

import gc

__all__ = ["freeze_gc"]


def freeze_gc() -> None:
    """Move all existing objects out of the reach of the garbage collector.

    A full collection scans a million objects of libraries and tables. It takes hundreds of
    milliseconds, during which no request is answered and database writers wait for a lock holder.
    """
    gc.collect()
    gc.freeze()

"""A process that is waited for must not stop for a tenth of a second to look for garbage."""

import gc

__all__ = ["freeze_gc"]


def freeze_gc() -> None:
    """Take what is there by now for good: later searches for garbage pass it by.

    A million objects of libraries and tables take hundreds of milliseconds to look through, during
    which nobody is answered, or the database's writers wait for who holds it.
    """
    gc.collect()
    gc.freeze()

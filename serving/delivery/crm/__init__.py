"""Where the list goes: one module per target."""

__all__ = ["sql"]

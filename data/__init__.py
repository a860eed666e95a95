"""What do we know, and when did we come to know it?"""

__all__ = ["contracts", "errors", "settings", "simulator", "sources"]

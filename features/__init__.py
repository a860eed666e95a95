"""What did an account look like at a given moment?"""

__all__ = ["activity", "catalogue", "feature", "panel"]

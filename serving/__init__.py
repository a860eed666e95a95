"""Who should hear about it, where, and when?"""

__all__ = ["cli", "crm", "playbook", "score", "state"]

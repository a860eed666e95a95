"""CRM targets: the protocol, the field catalogue, and one package per CRM."""

__all__ = ["sql"]

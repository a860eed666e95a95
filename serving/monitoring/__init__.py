"""Monitoring: compare CSM feedback with contract outcomes."""

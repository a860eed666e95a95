"""Attacks on the real server over HTTP."""

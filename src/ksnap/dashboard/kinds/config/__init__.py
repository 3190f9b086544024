"""Secrets, and what a config map's detail shows."""

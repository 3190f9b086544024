"""Persistent volumes, the claims to them, and storage classes."""

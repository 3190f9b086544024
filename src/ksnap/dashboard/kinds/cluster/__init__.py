"""Nodes, namespaces, and definitions of custom resources."""

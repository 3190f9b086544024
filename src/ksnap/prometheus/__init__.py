"""Prometheus as a party: its HTTP API (v1) for expressions. `client` asks; what is asked for is the caller's."""

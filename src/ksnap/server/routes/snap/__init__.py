"""The SNAP API (contract, snap-api.md): one module per folder of paths."""

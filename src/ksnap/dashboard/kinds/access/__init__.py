"""Service accounts, roles and their bindings."""

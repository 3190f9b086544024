"""The client of OCI registries: sign in, push, read, delete. Start at `client.open_registry`.

Every failure leaves this room as a KsnapError that names host and repository; no secret is in any of them.
"""

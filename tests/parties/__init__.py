"""The real parties of the tests, started on loopback ports of their own, and a proxy that changes one answer of one.

A party is a process (or a small server) owned by its context manager: it ends with it, whatever the test did.
"""

"""Checkpoint archives and CRIU's logs: bytes to dataclasses, without input or output.

Start at `archive.ArchiveReader`, which checks an archive while it streams by; `metadata` reads what it collected, and
`diagnosis` turns the log of a failed dump into a cause and a way out.
"""

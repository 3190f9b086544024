"""Files out of a container: `tar` runs in it, and what it writes is checked while it streams by.

`paths` and `tar_stream` are pure; `download` runs the command.
"""

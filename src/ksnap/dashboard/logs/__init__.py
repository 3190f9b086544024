"""Logs of containers: a page of lines, the whole file, what is being written now, and where logs come from.

`lines`, `selection` and `query` are pure; `pages`, `sources` and `following` ask the cluster, as the caller.
"""

"""Two programs that run where the rest of this package does not: before and inside a node.

`boot.py` turns a fresh set of namespaces into a node; `supervisor.py` keeps services running, in nodes and for the
control plane. Each is one file of the standard library alone, since a node has Debian's Python and nothing of ours.
"""

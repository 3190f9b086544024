"""A real Kubernetes on one Linux machine, for the demo, the tests and the benchmarks.

Start at `up.py` (what happens in which order), then `layout.py` (names and paths of one instance), `control.py` (the
control plane), `nodes.py` (a node) and `guest/` (the two programs that run inside a node). `info.py` is what everybody
else imports: where the running cluster is and how to reach it.
"""

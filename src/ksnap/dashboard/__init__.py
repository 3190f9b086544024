"""The Kubernetes Dashboard's handlers as a service: what a caller may see of a cluster, and do to it.

Start at `context.py`: every call is made for somebody, at one cluster. `selection` answers lists, `kinds` says what
each list and each detail holds.
"""

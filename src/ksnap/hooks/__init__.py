"""SnapHook: new pods of a workload that was frozen start from its checkpoint, by an admission webhook.

`review.py` reads and writes what the API server says, `decision.py` decides from memory alone, `catalog.py` is that
memory, `listener.py` serves it on a TLS port of its own, and `certificates.py` makes what that port shows.
"""

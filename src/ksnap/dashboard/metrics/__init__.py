"""Use of cpu and memory over the last hour, out of whatever source a cluster has.

Start at `service.py`, which answers lists and details. It runs one `meter` a cluster while somebody looks; that takes
readings from the first of its `sources` that works into two `window`s, and shares them by `history` with other servers
and with its own next life.
"""

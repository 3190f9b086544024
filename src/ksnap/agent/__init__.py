"""The program on each node: gets archives from the kubelet, publishes them, keeps a journal, reports on its node.

Start at `main.py` (what runs), then `service.py` (the HTTP interface of `node/protocol.py`), `captures.py` (who owns
which work) and `capture.py` (one capture's stages). `journal.py` is what survives the process.
"""

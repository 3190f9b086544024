"""One cluster's connection, and the calls that ksnap makes on it.

Start at `connection.py`; `connections.py` keeps one connection for each cluster.
Kubernetes' objects stay plain JSON here (dicts, as the API server answers them): no model classes on any path.
"""

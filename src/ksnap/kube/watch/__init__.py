"""One watch cache per cluster and resource: begin with `caches.WatchCaches`, which starts and ends them.

`resource` says what is watched and into which record it is decoded, `objects` holds the records with their indexes,
`requests` speaks to the API server, `cache` keeps the two in step, `feed` tells readers of changes. After Kubernetes'
API concepts, "Efficient detection of changes".
"""

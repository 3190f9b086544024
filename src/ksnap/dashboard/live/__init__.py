"""Lists that stay up to date: a list as a GET answers it, then what changes of it (docs/guides/dashboard-live.md).

`follower` is one connection's: it waits for changes in the watch caches, looks at the list anew, and tells what is
different for its reader (`shown`). `relations` spares it most rows: which of them a change in another resource, such as
an event about a pod of a deployment, may concern. `pace` keeps all followers together within a part of one core.
"""

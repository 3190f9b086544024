"""What runs pods: one module per kind, the rows of its list and what its detail has beside (contract, section 15).

`pod_info` counts the pods of each, out of the cache and by who owns them.
"""

"""What ksnap is told about the outside: registries and clusters, with their credentials encrypted (contract, 3.4).

`registries` and `clusters` keep them; other rooms read one with `Clusters.config` and `Registries.get`.
"""

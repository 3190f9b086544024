"""What a caller changes in a cluster, always as the caller (contract dashboard-api, section 16).

A change is one patch wherever Kubernetes has one that says it, so that nothing is read, altered and written back over
somebody else's change. `validators`, `deployment_spec` and `drain_plan` are pure.
"""

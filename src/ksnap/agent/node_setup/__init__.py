"""What the chart's init container does to a node so that its containerd can restore below itself, and takes back.

It installs `ksnap-runc` and a runtime handler that calls it. Apart from the agent, since it is privileged and ends.
"""

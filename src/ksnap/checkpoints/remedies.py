"""The exact lines that a finding asks to be added, and where they go. Texts alone: what is chosen when is elsewhere.

A line that begins with # says where the lines below it belong; what follows is to be copied as it stands.
"""

from typing import assert_never

from ksnap.model.container_runtime import CONTAINERD_CRIU_SWITCH, CONTAINERD_SWITCH, CRIO_SWITCH
from ksnap.node.protocol import AGENT_SELECTOR, FreezeObstacle

KUBELET_FEATURE = """\
# in the kubelet's configuration on the node (/var/lib/kubelet/config.yaml), then: systemctl restart kubelet
featureGates:
  ContainerCheckpoint: true"""

CRIU_PACKAGE = """\
# on the node, in the PATH of the container runtime: criu 3.17 or later, 4.2 or later for Linux 6.18
criu --version"""

SECCOMP_DEFAULT = """\
# in the pod's spec; pods of the runtime class ksnap need it not
securityContext:
  seccompProfile:
    type: RuntimeDefault"""

NOT_PRIVILEGED = f"""\
# in the container
securityContext:
  privileged: false
{SECCOMP_DEFAULT}"""


def install_agent(namespace: str) -> str:
    return f"""\
# once for a cluster; where the chart is installed, see why the node has no pod of it (nodeSelector, tolerations)
helm install ksnap charts/ksnap --namespace {namespace} --create-namespace \
--set image.repository=registry.example/ksnap-agent"""


def look_at_agents(namespace: str) -> str:
    return f"""\
kubectl --namespace {namespace} get pods --selector {AGENT_SELECTOR} --output wide
kubectl --namespace {namespace} logs --selector {AGENT_SELECTOR} --container agent --tail 20"""


def chart_value(namespace: str, value: str) -> str:
    """One value of the chart, the others staying as they are."""
    return f"helm upgrade ksnap charts/ksnap --namespace {namespace} --reuse-values --set {value}"


def against(obstacle: FreezeObstacle, namespace: str) -> str:
    """What takes the kubelet out of the way."""
    match obstacle:
        case FreezeObstacle.NOT_OFFERED:
            return KUBELET_FEATURE
        case FreezeObstacle.REFUSED:
            return _kubelet_right(namespace)
        case FreezeObstacle.NOT_TRUSTED:
            return _kubelet_ca(namespace)
        case FreezeObstacle.NOT_REACHED:
            return "# a firewall between the node's pods and its kubelet, or another port: the chart's kubelet.port"
        case _:
            assert_never(obstacle)


def _kubelet_right(namespace: str) -> str:
    return f"""\
# the chart gives the agents this right; where the answer is no, install it again
kubectl auth can-i create nodes --subresource checkpoint --as system:serviceaccount:{namespace}:ksnap-agent
# in the kubelet's configuration on the node (/var/lib/kubelet/config.yaml), then: systemctl restart kubelet
authentication:
  webhook:
    enabled: true
authorization:
  mode: Webhook"""


def _kubelet_ca(namespace: str) -> str:
    return f"""\
# the CA of the kubelets' serving certificates, as a ConfigMap with the key ca.crt
kubectl --namespace {namespace} create configmap kubelet-ca --from-file ca.crt=FILE
{chart_value(namespace, "kubelet.caConfigMap=kubelet-ca")}
# or, for kubelets that sign their own certificates, without checking them
{chart_value(namespace, "kubelet.insecure=true")}"""


def containerd_switches(*names: str) -> str:
    """A drop-in of containerd 2, whose CRI plugin reads its switches from this table."""
    lines = "\n".join(f"{each} = true" for each in names)
    return f"""\
# /etc/containerd/conf.d/60-ksnap.toml on the node, then: systemctl restart containerd
# /etc/containerd/config.toml must have, above its first table: imports = ['/etc/containerd/conf.d/*.toml']
version = 3

[plugins.'io.containerd.cri.v1.runtime']
{lines}"""


CONTAINERD_RESTORE = containerd_switches(CONTAINERD_SWITCH, CONTAINERD_CRIU_SWITCH)
CONTAINERD_CRIU = containerd_switches(CONTAINERD_CRIU_SWITCH)

CRIO_CRIU = f"""\
# /etc/crio/crio.conf.d/60-ksnap.conf on the node, then: systemctl restart crio
[crio.runtime]
{CRIO_SWITCH} = true"""


def runtime_engine(namespace: str) -> str:
    """The node set-up of the chart; the guide has the same by hand."""
    return f"""\
# while nothing is being frozen: it restarts containerd once on each node (by hand: docs/guides/runtime-class.md)
{chart_value(namespace, "nodeSetup.enabled=true")}"""


def criu_option(namespace: str, option: str, value: str) -> str:
    """An option of CRIU for runc, by the chart or by hand."""
    return f"""\
{chart_value(namespace, f"criu.{value}=true")}
# or by hand, a line in /etc/criu/runc.conf on the node
{option}"""

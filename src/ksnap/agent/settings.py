"""What can be set on an agent. Read once by the entrance; each field's text is the reference, also the chart's.

The chart (`charts/ksnap`) sets these as environment variables, `KSNAP_AGENT_<FIELD>`.
"""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ksnap.node.protocol import AGENT_PORT


class AgentSettings(BaseSettings):
    """How one node's agent behaves."""

    model_config = SettingsConfigDict(
        env_prefix="KSNAP_AGENT_", use_attribute_docstrings=True, frozen=True, populate_by_name=True
    )

    node_name: str
    """The node this agent stands on, from the downward API (`spec.nodeName`)."""

    host_ip: str = "127.0.0.1"
    """The node's address, from the downward API (`status.hostIP`); the kubelet is called there."""

    pod_name: str = ""
    """The agent's own pod, from the downward API: the probe container is a part of it. Empty: no probe."""

    pod_namespace: str = ""
    """The agent's own namespace, from the downward API."""

    daemonset: str = "ksnap-node-setup"
    """The node set-up's DaemonSet, in the agents' namespace. Used by itself alone, to take itself back everywhere."""

    listen_host: str = ""
    """The address to listen on. Empty: all addresses of the pod, IPv4 and IPv6."""

    listen_port: int = Field(default=AGENT_PORT, gt=0, lt=65536)
    """The port to listen on; the server reaches it through the API server's pod proxy."""

    log_level: str = "info"
    """The least severe log event that is written: debug, info, warning or error."""

    api_server_host: str = Field(default="kubernetes.default.svc", validation_alias="KUBERNETES_SERVICE_HOST")
    """The API server's address; Kubernetes sets it in each pod, under its own name."""

    api_server_port: int = Field(default=443, validation_alias="KUBERNETES_SERVICE_PORT")
    """The API server's port; Kubernetes sets it in each pod, under its own name."""

    service_account_dir: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """Where Kubernetes mounts the agent's token and the cluster's CA; the token is read anew before it is used."""

    kubelet_port: int = Field(default=10250, gt=0, lt=65536)
    """The kubelet's port on this node."""

    kubelet_ca_file: Path | None = None
    """PEM file of the CA that signed the kubelet's serving certificate. None: the cluster's CA. Clusters whose kubelets
    sign their own certificates (kubeadm's default) need `serverTLSBootstrap` or this file."""

    kubelet_insecure: bool = False
    """Do not verify the kubelet's certificate. Logged at each start. The call goes to the agent's own node, and
    carries a token that may create `nodes/checkpoint`."""

    checkpoints_dir: Path = Path("/var/lib/kubelet/checkpoints")
    """Where the kubelet has archives written; mounted under the same path as on the node."""

    state_dir: Path = Path("/var/lib/ksnap")
    """The agent's folder on the node's disk, mounted under the same path as on the node: its journal, which outlives
    the agent's pod, and the cache of unpacked images, from which the node's runtime restores."""

    containers_dir: Path = Path("/host/containers")
    """containerd's folder of what it records of each container (`io.containerd.grpc.v1.cri/containers`), read-only.
    An open dump and a restore are recognised by it. If it is absent both are answered without that evidence."""

    tasks_dir: Path = Path("/host/tasks")
    """containerd's folder of running tasks (`io.containerd.runtime.v2.task/k8s.io`), read-only: CRIU's log of a failed
    dump lies there."""

    host_usr_dir: Path = Path("/host/usr")
    """The node's /usr, read-only: runc and CRIU are asked for their versions."""

    containerd_config_dir: Path = Path("/host/etc-containerd")
    """The node's /etc/containerd, read-only: whether the runtime restores may be a switch in there."""

    crio_config_dir: Path = Path("/host/etc-crio")
    """The node's /etc/crio, read-only, where CRI-O is the runtime: whether it restores is a switch in there."""

    criu_config_dir: Path = Path("/host/etc-criu")
    """The node's /etc/criu. Mounted writable, and only, if one of the two options below is on."""

    criu_tcp_close: bool = False
    """Set CRIU's `tcp-close` for runc on this node: a process with open TCP connections can be frozen, keeps them, and
    is restored with them closed. Without it such a freeze fails. Taken back when the agent ends in an orderly way."""

    criu_skip_in_flight: bool = False
    """Set CRIU's `skip-in-flight` for runc on this node: a connection in its handshake (a probe that comes in at that
    moment) does not make the freeze fail."""

    max_dumps: int = Field(default=1, gt=0)
    """Dumps at the same time on this node; further captures wait as `queued`. A dump costs the node disk and memory."""

    max_transfers: int = Field(default=2, gt=0)
    """Archives compressed and pushed at the same time; each takes tens of megabytes and a core."""

    dump_limit_s: float = Field(default=3600.0, gt=0)
    """The time-out that the kubelet itself is given. It is long on purpose: where it strikes, the container runtime is
    cut off between pausing the container and resuming it. A capture's own time-out is told when it passes; the
    dump then goes on to its end, and its archive is removed."""

    min_free_bytes: int = Field(default=1 << 30, ge=0)
    """Free bytes that must be left on the disk: of the checkpoints before a dump is asked for, of `state_dir` while an
    image is unpacked."""

    image_cache_bytes: int = Field(default=20 << 30, gt=0)
    """Bytes of unpacked checkpoint images that are kept on this node, in `state_dir`. The least recently used ones go
    first; one that a container's start uses never does."""

    max_pulls: int = Field(default=2, gt=0)
    """Images pulled and unpacked at the same time on this node; further ones wait. Each takes a core."""

    permit_ttl_s: float = Field(default=900.0, gt=0)
    """Seconds for which an image that the server had prefetched for a pod may be restored by that pod."""

    trusted_keys_dir: Path | None = None
    """A folder of PEM files: public keys (ECDSA on P-256) of servers whose images and permits this node trusts; re-read
    when it changes. None, or no key in it: images are restored only where the server had them fetched for a pod."""

    prefetch: bool = False
    """Watch the pods of this node, and pull the checkpoint images that they ask for as soon as they are bound to it.
    Only with it are pods restored that the server did not name: by an image's own signed key, or by a signed permit.
    Needs the right to get, list and watch pods, trusted keys, and `cluster_name`."""

    prefetch_pull_secrets: bool = False
    """Pull such images with the pod's own imagePullSecrets. Needs the right to get any Secret of the cluster, which a
    node's agent should have only where that is accepted. Off: they are pulled without an account."""

    prefetch_ca_file: Path | None = None
    """PEM file of certificate authorities of registries, trusted beside the system's for such pulls."""

    max_restore_failures: int = Field(default=3, gt=0)
    """Failed restores of one image in a row on this node, after which its containers are started cold, until the
    failures are cleared through the agent's interface or a container restored from it has lived for
    `restore_proof_s`."""

    restore_proof_s: float = Field(default=30.0, gt=0)
    """Seconds that a restored container must live for its restore to count as good. One that ends by itself before
    counts as a failed restore of its image: otherwise a process that cannot live with what it wakes up in would be
    restored for ever."""

    socket_path: Path = Path("/run/ksnap/restore.sock")
    """Where ksnap-runc asks for images. The folder is root's alone, and mounted under the same path as on the node."""

    runtime_records_dir: Path = Path("/run/ksnap/runtime")
    """Where ksnap-runc records what became of each start: the proof of a restore by the runtime engine."""

    runtime_binary: Path = Path("/host/opt-ksnap/bin/ksnap-runc")
    """Where the agent sees ksnap-runc, if the node has it (/opt/ksnap on the node, read-only)."""

    orphan_ttl_s: float = Field(default=900.0, gt=0)
    """Seconds for which an interrupted capture, or an archive that nobody fetches, waits before it is undone."""

    keep_ended_s: float = Field(default=3600.0, gt=0)
    """Seconds for which the outcome of a capture is remembered that failed and left nothing behind."""

    keep_unsettled_s: float = Field(default=7 * 86400.0, gt=0)
    """Seconds for which an ended capture is remembered that the server has still to ask for: one that succeeded, or one
    that left something in the registry. The server's DELETE settles both."""

    shutdown_grace_s: float = Field(default=10.0, gt=0)
    """Seconds for open replies to finish at a shutdown. Running captures are journaled at once, not waited for."""

    review_cache_s: float = Field(default=10.0, ge=0)
    """Seconds for which a TokenReview and a SubjectAccessReview are remembered: a right taken away lasts so long."""

    max_body_bytes: int = Field(default=256 * 1024, gt=0)
    """The longest request body that is read; a registry's CA bundle is the longest thing in one."""

    probe_container: str = "probe"
    """The container of the agent's own pod that is frozen to learn whether this node can freeze. Empty: no probe."""

    probe_interval_s: float = Field(default=6 * 3600.0, gt=0)
    """Seconds between two such probes. One is made at each start, and when the node's runtime version changes."""

    probe_timeout_s: float = Field(default=60.0, gt=0)
    """Seconds that a probe may take."""

    server_url: str = ""
    """The ksnap server's URL. Set: the report is also posted there. Empty: the server fetches it."""

    server_ca_file: Path | None = None
    """PEM file of the CA of the server's certificate. None: the system's."""

    cluster_name: str = ""
    """The name under which the server knows this cluster; needed with `server_url`, and with `prefetch`: an image or a
    permit for another cluster is none for this one."""

    report_interval_s: float = Field(default=60.0, gt=0)
    """Seconds between two posted reports."""

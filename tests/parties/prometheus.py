"""A real Prometheus that scrapes the development cluster's kubelets every second, and speaks TLS.

with running_prometheus(folder, program, cluster, certificate, port) as url:
    an authority of `certificate.ca` signed what it shows
"""

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.cluster.info import ClusterInfo
from tests.parties.certificates import ServerCertificate

READY_S = 60.0
KUBELET_PORT = 10250


@contextmanager
def running_prometheus(
    folder: Path, program: Path, cluster: ClusterInfo, certificate: ServerCertificate, port: int
) -> Iterator[str]:
    """One that answers. Its series have the label `cluster="dev"`."""
    settings, web = folder / "prometheus.yml", folder / "web.yml"
    # JSON is YAML as well.
    settings.write_text(json.dumps(_settings(cluster)))
    tls = {"cert_file": str(certificate.certificate), "key_file": str(certificate.key)}
    web.write_text(json.dumps({"tls_server_config": tls}))
    argv = [
        str(program),
        f"--config.file={settings}",
        f"--web.config.file={web}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--storage.tsdb.path={folder / 'data'}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
    url = f"https://127.0.0.1:{port}"
    try:
        _wait(f"{url}/-/ready", certificate.client_context(), process, folder / "log")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=10)


def _settings(cluster: ClusterInfo) -> dict[str, object]:
    keys = cluster.ca_file.parent
    targets = [
        {"targets": [f"{node.address}:{KUBELET_PORT}"], "labels": {"node": node.name, "cluster": "dev"}}
        for node in cluster.nodes
    ]
    job = {
        "job_name": "kubelets",
        "scheme": "https",
        "metrics_path": "/metrics/resource",
        "tls_config": {
            "ca_file": str(cluster.ca_file),
            "cert_file": str(keys / "admin.crt"),
            "key_file": str(keys / "admin.key"),
        },
        "static_configs": targets,
    }
    return {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [job]}


def _wait(url: str, tls: ssl.SSLContext, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5, context=tls):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"Prometheus is not ready\n{log.read_text()[-3000:]}")

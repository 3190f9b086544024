"""Asks the node's own kubelet to checkpoint a container: one call, over a connection whose loss does no harm.

Why not the HTTP client that all else uses: if the client goes away in the middle of a dump (this agent is killed, say),
Go's server ends the request's context, with which containerd dumps, resumes the container and writes the archive; seen
with containerd 2.1.9, the dump is thrown away half-way. Go's server does not notice a lost client while a further byte
of a pipelined request waits to be read (net/http, connReader.backgroundRead). So an empty line, which RFC 9112 section
2.2 has a server ignore, is sent behind the request: the dump then runs to its end, the container is resumed in order,
and a restarted agent finds the archive. For the same reason the kubelet is given a long time-out of its own.
Needs the right to create `nodes/checkpoint` and nothing else.
"""

import asyncio
import http.client
import io
import json
import ssl
from dataclasses import dataclass
from urllib.parse import quote

import structlog

from ksnap.agent.api_server import ServiceAccount
from ksnap.agent.settings import AgentSettings
from ksnap.errors import CheckpointFailed, KsnapError, NotFound
from ksnap.node.protocol import FreezeObstacle

log = structlog.get_logger()

_CONNECT_TIMEOUT_S = 10.0
_ANSWER_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class KubeletAnswer:
    """What the kubelet said."""

    status: int
    text: str


class KubeletInTheWay(CheckpointFailed):
    """The kubelet let no checkpoint begin; `obstacle` says why, for a report."""

    def __init__(self, message: str, *, details: str, hint: str, obstacle: FreezeObstacle) -> None:
        super().__init__(message, details=details, hint=hint)
        self.obstacle = obstacle


class Kubelet:
    """The kubelet of this node."""

    def __init__(self, settings: AgentSettings, account: ServiceAccount) -> None:
        self._host = settings.host_ip
        self._port = settings.kubelet_port
        self._limit_s = settings.dump_limit_s
        self._account = account
        self._tls = account.tls(settings.kubelet_ca_file)
        if settings.kubelet_insecure:
            self._tls.check_hostname = False
            self._tls.verify_mode = ssl.CERT_NONE
            log.warning("kubelet_certificate_not_verified", host=self._host)

    async def checkpoint(self, namespace: str, pod: str, container: str) -> str:
        """The path of the archive, as the kubelet names it. Takes as long as the dump takes."""
        path = "/checkpoint/" + "/".join(quote(part, safe="") for part in (namespace, pod, container))
        answer = await self._post(f"{path}?timeout={int(self._limit_s)}", deadline_s=self._limit_s + 30)
        if answer.status == 200:
            return _archive_path(answer.text)
        raise explain_refusal(answer)

    async def _post(self, target: str, *, deadline_s: float) -> KubeletAnswer:
        host = f"[{self._host}]" if ":" in self._host else self._host
        request = (
            f"POST {target} HTTP/1.1\r\nHost: {host}:{self._port}\r\n"
            f"Authorization: Bearer {self._account.token()}\r\nUser-Agent: ksnap-agent\r\nAccept: application/json\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        except (OSError, TimeoutError) as exc:
            raise _unreachable(host, self._port, exc) from exc
        try:
            writer.write(request.encode())
            # A write of its own makes a TLS record of its own: Go's TLS reads one at a time, so this line is not
            # taken in together with the request, but waits where the server looks for a lost client.
            writer.write(b"\r\n")
            async with asyncio.timeout(deadline_s):
                await writer.drain()
                raw = await _read_all(reader)
            return _parse(raw)
        except (OSError, TimeoutError, http.client.HTTPException) as exc:
            raise CheckpointFailed(
                "The kubelet gave no answer to the checkpoint request",
                details=f"{host}:{self._port}: {type(exc).__name__}",
                hint="Look at the kubelet's log on the node",
            ) from exc
        finally:
            writer.close()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    """The whole answer: the server closes the connection behind it, as asked."""
    parts: list[bytes] = []
    size = 0
    while size < _ANSWER_LIMIT and (part := await reader.read(65536)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


class _Bytes:
    """What http.client takes for a socket."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO(self._raw)


def _parse(raw: bytes) -> KubeletAnswer:
    response = http.client.HTTPResponse(_Bytes(raw), method="POST")  # type: ignore[arg-type] # needs makefile alone
    response.begin()
    return KubeletAnswer(response.status, response.read().decode(errors="replace"))


def _archive_path(text: str) -> str:
    try:
        items = json.loads(text)["items"]
        return str(items[0])
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        raise CheckpointFailed("The kubelet named no archive", details=text[:300]) from exc


def explain_refusal(answer: KubeletAnswer) -> KsnapError:
    """The kubelet's refusal as an error of ours. What the runtime could not do is left to `dump_log` to explain."""
    said = answer.text.strip()[:600]
    if answer.status in {401, 403}:
        return KubeletInTheWay(
            "The kubelet refused the agent",
            details=f"status {answer.status}: {said}",
            hint="The agent's service account needs create on nodes/checkpoint; the kubelet webhook authorization",
            obstacle=FreezeObstacle.REFUSED,
        )
    if answer.status == 404 and "does not exist" in said:
        return NotFound("The kubelet does not know the container", details=said)
    if answer.status == 404:
        return KubeletInTheWay(
            "The kubelet does not offer checkpoints",
            details=said,
            hint="Kubernetes 1.30 or newer, or the feature gate ContainerCheckpoint, is needed on the node",
            obstacle=FreezeObstacle.NOT_OFFERED,
        )
    return CheckpointFailed("The runtime could not freeze the container", details=said)


def _unreachable(host: str, port: int, exc: Exception) -> KsnapError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return KubeletInTheWay(
            "The kubelet's certificate is not trusted",
            details=f"{host}:{port}: {exc.verify_message}",
            hint="Set the chart's kubelet.caConfigMap to the CA that signed it, or the kubelet's serverTLSBootstrap",
            obstacle=FreezeObstacle.NOT_TRUSTED,
        )
    return KubeletInTheWay(
        "The kubelet cannot be reached",
        details=f"{host}:{port}: {type(exc).__name__}",
        hint="Check the node",
        obstacle=FreezeObstacle.NOT_REACHED,
    )

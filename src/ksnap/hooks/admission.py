"""What the API server is answered: an ASGI application of one route, `POST` on the path of each hook.

It knows memory alone and never denies: whatever goes wrong, the pod is allowed as it is, and the log has why. It has
no token to look at. Who may reach it learns of a pod that he describes himself whether its workload has a checkpoint,
and its image's name; the image itself is the registry's to give.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from ksnap.errors import InvalidInput
from ksnap.hooks.catalog import Catalog
from ksnap.hooks.decision import Decision, Known, Places, decide
from ksnap.hooks.records import Hook
from ksnap.hooks.review import Request, answer, parse_review
from ksnap.model.checkpoint_key import Slot

LIMIT_BYTES = 4 << 20
# An API server waits two seconds and more; what matters is far below.
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 2, 5, 30)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
PlacesOf = Callable[[str], Places]
"""The nodes of a cluster, as far as they are known."""
log = structlog.get_logger(__name__)
_plain_log = logging.getLogger(__name__)


class AdmissionMetrics:
    """Counts admissions and their times by hook; an outcome is `runtime`, `image`, `cold`, `failed` or `refused`."""

    def __init__(self) -> None:
        self.admissions = Counter(
            "ksnap_hook_admissions", "Admissions answered, by hook and outcome.", ["hook", "outcome"], registry=None
        )
        self.seconds = Histogram(
            "ksnap_hook_admission_seconds",
            "Time to answer an admission, with what was waited for a checkpoint in the making.",
            ["hook"],
            buckets=BUCKETS,
            registry=None,
        )
        self._series: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    def register(self, registry: CollectorRegistry) -> None:
        registry.register(self.admissions)
        registry.register(self.seconds)

    def observe(self, hook: str, outcome: str, seconds: float) -> None:
        known = self._series.get((hook, outcome))
        if known is None:  # the library looks for a series longer than it counts
            series = self.admissions.labels(hook, outcome), self.seconds.labels(hook)
            known = self._series[hook, outcome] = series
        known[0].inc()
        known[1].observe(seconds)


@dataclass(slots=True)
class _Asked:
    """The catalog as one hook sees it; remembers for which containers there was nothing."""

    catalog: Catalog
    max_age_s: int
    missing: list[Slot] = field(default_factory=list)

    def find(self, slot: Slot) -> Known | str:
        found = self.catalog.find(slot, max_age_s=self.max_age_s)
        if not isinstance(found, Known):
            self.missing.append(slot)
        return found


class Admission:
    """The application. `serve` says which hooks there are."""

    def __init__(self, catalog: Catalog, places_of: PlacesOf, metrics: AdmissionMetrics) -> None:
        self._catalog = catalog
        self._places_of = places_of
        self._metrics = metrics
        self._hooks: dict[str, Hook] = {}

    def serve(self, hooks: list[Hook]) -> None:
        """Answer for these, and no others, from now on."""
        self._hooks = {each.path: each for each in hooks}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        hook = self._hooks.get(scope["path"])
        if hook is None:
            await _send(send, 404, b"no hook has this path")
        elif scope["method"] != "POST":
            await _send(send, 405, b"only POST is answered here", allow=True)
        else:
            await self._answer(hook, scope, receive, send)

    async def _answer(self, hook: Hook, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        body = await _body(scope, receive)
        if body is None:
            self._metrics.observe(hook.name, "refused", time.perf_counter() - began)
            await _send(send, 413, b"the body is too large")
            return
        try:
            request = parse_review(body)
        except InvalidInput as error:
            self._metrics.observe(hook.name, "refused", time.perf_counter() - began)
            log.info("admission_refused", hook=hook.name, reason=error.message, details=error.details)
            await _send(send, 400, error.message.encode())
            return
        outcome, reply = await self._decided(hook, request)
        await _send(send, 200, reply, content_type=b"application/json")
        self._metrics.observe(hook.name, outcome, time.perf_counter() - began)

    async def _decided(self, hook: Hook, request: Request) -> tuple[str, bytes]:
        try:
            decision = await self._decide(hook, request)
        except Exception:
            # The root of this work. A fault of ours is no reason for a pod not to start.
            log.exception("admission_failed", hook=hook.name, namespace=request.namespace)
            return "failed", answer(request.uid, [])
        if _plain_log.isEnabledFor(logging.DEBUG):  # structlog would put the event together first
            log.debug(
                "admission_answered",
                hook=hook.name,
                namespace=request.namespace,
                engine=decision.engine,
                restored={name: known.checkpoint_id for name, known in decision.restored.items()},
                reasons=dict(decision.reasons),
                dry_run=request.dry_run,
            )
        return decision.engine or "cold", answer(request.uid, decision.patch)

    async def _decide(self, hook: Hook, request: Request) -> Decision:
        pod = request.object
        if request.operation != "CREATE" or request.sub_resource or pod is None:
            return Decision(reasons={"*": "not the creation of a pod"})
        if request.namespace in hook.skipped_namespaces:
            return Decision(reasons={"*": "its namespace is left out"})
        asked = _Asked(self._catalog, hook.max_age_s)
        decision = self._of(hook, request, asked)
        coming = [each for each in asked.missing if self._catalog.is_being_made(each)]
        if hook.wait_s and coming:
            await self._catalog.settled(coming, hook.wait_s)
            return self._of(hook, request, _Asked(self._catalog, hook.max_age_s))
        return decision

    def _of(self, hook: Hook, request: Request, asked: _Asked) -> Decision:
        places = self._places_of(hook.cluster)
        pod = request.object or {}
        return decide(hook.cluster, request.namespace, pod, asked, places, pull_secrets=hook.pull_secrets)


async def _body(scope: Scope, receive: Receive) -> bytes | None:
    """The whole body, or None if it is too large or ends too early."""
    told = dict(scope["headers"]).get(b"content-length", b"")
    if told.isdigit() and int(told) > LIMIT_BYTES:
        return None
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None  # nobody is there to be answered
        part = message.get("body", b"")
        size += len(part)
        if size > LIMIT_BYTES:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _send(
    send: Send, status: int, body: bytes, *, content_type: bytes = b"text/plain", allow: bool = False
) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    if allow:
        headers.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""By which engine a node restores: `runtime` where ksnap-runc is set up, `image` where its runtime does. Pure."""

from dataclasses import dataclass
from typing import Literal

from ksnap.model.container_runtime import (
    CONTAINERD_CRIU_SWITCH,
    CONTAINERD_SWITCH,
    CRIO_SWITCH,
    VERSION_NOT_TOLD,
    ContainerRuntime,
    ImageRestore,
    parse_runtime,
)

RUNTIME_HANDLER = "ksnap"
RUNTIME_BINARY = "ksnap-runc"


@dataclass(frozen=True, slots=True)
class RuntimeSwitches:
    """What the runtime's configuration says; None where it says nothing."""

    restore: bool | None = None
    criu: bool | None = None
    readable: bool = True
    """False if the configuration could not be read: then only what needs no switch is promised."""


@dataclass(frozen=True, slots=True)
class RuntimeEngine:
    """What the agent saw of the runtime engine on its node."""

    installed: bool = False
    """ksnap-runc is there and may be executed."""
    handler_binary: str = ""
    """What containerd's handler of our name calls; empty if it has none."""
    failed_test: str = ""
    """Why the node set-up's self-test did not work; empty if it did, or was not made."""


@dataclass(frozen=True, slots=True)
class RestoreSupport:
    """The answer and why. `image`: whether the image engine works as well."""

    how: Literal["runtime", "image", "none"]
    reason: str
    image: bool = False


def restore_support(
    container_runtime: str, switches: RuntimeSwitches, engine: RuntimeEngine | None = None
) -> RestoreSupport:
    """`container_runtime` is the node status' text, `containerd://2.1.9`."""
    by_image = _by_image(container_runtime, switches)
    engine = engine or RuntimeEngine()
    lacks = _engine_lacks(engine)
    if not lacks:
        reason = f"{RUNTIME_BINARY} is installed and containerd's handler {RUNTIME_HANDLER} calls it"
        return RestoreSupport("runtime", reason, image=by_image.how == "image")
    if by_image.how == "image":
        # Who has installed the engine wants to know; the others have what they want.
        reason = f"{by_image.reason}; but no runtime engine: {lacks}" if engine.installed else by_image.reason
        return RestoreSupport("image", reason, image=True)
    return RestoreSupport("none", f"{by_image.reason}; and no runtime engine: {lacks}")


def _engine_lacks(engine: RuntimeEngine) -> str:
    if not engine.installed:
        return f"{RUNTIME_BINARY} is not installed"
    if not engine.handler_binary:
        return f"containerd's configuration has no runtime handler {RUNTIME_HANDLER}"
    if not engine.handler_binary.endswith(f"/{RUNTIME_BINARY}"):
        return f"containerd's handler {RUNTIME_HANDLER} calls {engine.handler_binary}, not {RUNTIME_BINARY}"
    if engine.failed_test:
        return f"its self-test on this node failed: {engine.failed_test}"
    return ""


def _by_image(container_runtime: str, switches: RuntimeSwitches) -> RestoreSupport:
    runtime = parse_runtime(container_runtime)
    if runtime is None:
        return RestoreSupport("none", VERSION_NOT_TOLD)
    if runtime.image_restore is ImageRestore.UNKNOWN:
        return RestoreSupport("none", f"{runtime.name} is not known to restore images")
    if runtime.image_restore is ImageRestore.NOT_YET:
        first = "1.25" if runtime.name == "cri-o" else "2.1"
        return RestoreSupport("none", f"{runtime} does not restore images: {first} is the first that does")
    if runtime.image_restore is ImageRestore.REMOVED:
        return RestoreSupport("none", f"{runtime} does not restore images: 2.4 removed it")
    return _crio(runtime, switches) if runtime.name == "cri-o" else _containerd(runtime, switches)


def _containerd(runtime: ContainerRuntime, switches: RuntimeSwitches) -> RestoreSupport:
    if switches.criu is False:
        return RestoreSupport("none", f"containerd's {CONTAINERD_CRIU_SWITCH} is off")
    if runtime.image_restore is ImageRestore.BUILT_IN:
        return RestoreSupport("image", f"{runtime} restores checkpoint images")
    if switches.restore:
        return RestoreSupport("image", f"{runtime} restores checkpoint images: {CONTAINERD_SWITCH} is on")
    why = f"needs {CONTAINERD_SWITCH} = true in its CRI runtime plugin, which {_why(switches)}"
    return RestoreSupport("none", f"{runtime} {why}")


def _crio(runtime: ContainerRuntime, switches: RuntimeSwitches) -> RestoreSupport:
    if switches.criu:
        return RestoreSupport("image", f"{runtime} restores checkpoint images: {CRIO_SWITCH} is on")
    return RestoreSupport("none", f"{runtime} needs {CRIO_SWITCH} = true in its configuration, which {_why(switches)}")


def _why(switches: RuntimeSwitches) -> str:
    return "is not set" if switches.readable else "could not be read"

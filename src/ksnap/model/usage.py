"""What pods and nodes use of cpu and memory at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ksnap.errors import KsnapError

Name = tuple[str, str]
"""Namespace (empty for a node) and name."""
Amounts = tuple[int, int]
"""Millicores, and bytes of the working set."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that a source knew at one moment. A pod's containers are summed."""

    pods: Mapping[Name, Amounts] = field(default_factory=dict)
    nodes: Mapping[Name, Amounts] = field(default_factory=dict)
    trouble: KsnapError | None = None
    """Why a part is missing."""


# A petabyte, and as many millicores: what is more is a fault of a source, and must not spill into what is summed up.
LARGEST = 1 << 50


def amounts(cpu: int, memory: int) -> Amounts:
    """These, within what can be."""
    return min(max(cpu, 0), LARGEST), min(max(memory, 0), LARGEST)

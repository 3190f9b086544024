"""What ksnap-runc adds to `runc create` + `runc start` of an ordinary container, on a node of the development cluster.

    python -m bench.wrapper [--runs 100]

Both start the same bundle of our runtime class, taking turns, with new configurations each; removing them is not
counted. The bound is in milliseconds: what a Go program's start costs does not grow with the container.
"""

import argparse
import json
import sys
from pathlib import Path

from bench.report import Series, Target, series_table, targets_table, write
from dev.cluster.info import ClusterInfo, load, node_exec
from dev.stack import agents

BOUND_MS = 5.0
NODE = 0
TIMEOUT_S = 1200.0


def in_node(cluster: ClusterInfo, *words: str, timeout_s: float = TIMEOUT_S) -> dict[str, list[float]]:
    """Run bench/in_node.py there; what it measured."""
    program = (Path(__file__).parent / "in_node.py").read_text()
    text = node_exec(cluster.nodes[NODE], ["python3", "-c", program, *words], timeout_s=timeout_s)
    found: dict[str, list[float]] = json.loads(text)
    return found


def measure(runs: int) -> tuple[Series, Series]:
    cluster = load()
    agents.install(cluster)
    found = in_node(cluster, "start", str(runs))
    ours, bare = (Series(name, "ms", [each * 1000 for each in found[name]]) for name in ("ksnap-runc", "runc"))
    return ours, bare


def report(ours: Series, bare: Series) -> None:
    added = ours.median - bare.median
    targets = [Target("ksnap-runc adds to create + start (ms)", added, BOUND_MS)]
    path = write("wrapper", series=[ours, bare], targets=targets, about={"runs": len(ours.values)})
    print(f"\n{series_table([ours, bare], reference=bare)}\n\n{targets_table(targets)}")
    print(f"written to {path}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description="What ksnap-runc adds to a container's start")
    parser.add_argument("--runs", type=int, default=100)
    report(*measure(parser.parse_args().runs))


if __name__ == "__main__":
    main()

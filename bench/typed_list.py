"""All pods through the Python client library, as objects of its model: seconds and peak memory as JSON.

    python -m bench.typed_list KUBECONFIG

Run with the dependency group `bench`, which nothing else needs.
"""

import asyncio
import importlib
import json
import resource
import sys
import time
from typing import Any


async def listed(kubeconfig: str) -> dict[str, float]:
    library: Any = importlib.import_module("kubernetes_asyncio")
    configuration = library.client.Configuration()
    await library.config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    async with library.client.ApiClient(configuration) as api:
        began = time.perf_counter()
        found = await library.client.CoreV1Api(api).list_pod_for_all_namespaces()
        seconds = time.perf_counter() - began
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "pods": len(found.items), "peak_mib": peak_mib}


def main() -> None:
    print(json.dumps(asyncio.run(listed(sys.argv[1]))))


if __name__ == "__main__":
    main()

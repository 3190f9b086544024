"""Posts the node's report to a ksnap server that this node can reach; without a server URL it is only fetched.

The agent shows its own service-account token, which the server has reviewed by the cluster's TokenReview.
"""

import asyncio
import ssl

import aiohttp
import structlog

from ksnap.agent.api_server import ServiceAccount
from ksnap.agent.report import Reporter
from ksnap.agent.settings import AgentSettings
from ksnap.errors import KsnapError

log = structlog.get_logger()

_TIMEOUT = aiohttp.ClientTimeout(total=15)


async def post_reports(settings: AgentSettings, reporter: Reporter, account: ServiceAccount) -> None:
    """Post a report every so often, for ever. A server that is away is tried again with the next one."""
    context = ssl.create_default_context(cafile=str(settings.server_ca_file) if settings.server_ca_file else None)
    url = settings.server_url.rstrip("/") + "/cluster/status/report"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), timeout=_TIMEOUT) as session:
        while True:
            report = await reporter.report()
            body = {"cluster_name": settings.cluster_name, **report.model_dump(mode="json")}
            try:
                headers = {"Authorization": f"Bearer {account.token()}"}
                async with session.post(url, json=body, headers=headers) as response:
                    if response.status >= 400:
                        log.warning("report_refused", status=response.status)
            except (aiohttp.ClientError, TimeoutError, KsnapError) as error:
                log.warning("report_not_posted", reason=type(error).__name__)
            await asyncio.sleep(settings.report_interval_s)

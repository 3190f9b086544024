"""Jobs and CronJobs."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ksnap.dashboard.kinds.workloads.cronjobs import CRON_JOBS, cron_job_detail
from ksnap.dashboard.kinds.workloads.jobs import JOBS, job_detail
from ksnap.errors import InvalidInput
from ksnap.server.routes.dashboard.details import Name, Namespace
from ksnap.server.routes.dashboard.lists import SELECTION, as_response
from ksnap.server.routes.dashboard.reader import Reads, pod_route, workload_routes
from ksnap.server.routes.dashboard.route import DashboardRoute

router = APIRouter(tags=["dashboard"], route_class=DashboardRoute)

workload_routes(router, JOBS, job_detail)
pod_route(router, JOBS)
workload_routes(router, CRON_JOBS, cron_job_detail)


@router.get("/cronjob/{namespace}/{name}/job", summary="A cron job's jobs", openapi_extra=SELECTION)
async def jobs(
    reads: Reads,
    namespace: Namespace,
    name: Name,
    active: Annotated[str, Query(description="`false`: those that do not run, instead of those that do")] = "",
) -> Response:
    if active not in {"", "true", "false"}:
        raise InvalidInput("active is not understood", details=active[:64], hint="It is true or false")
    return as_response(await reads.jobs(namespace, name, active=active != "false"))

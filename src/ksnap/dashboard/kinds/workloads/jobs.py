"""Jobs."""

from collections.abc import Sequence

from ksnap.dashboard.kinds.common import Condition, Json, RawCondition, section, shown_conditions
from ksnap.dashboard.kinds.pods import Pod
from ksnap.dashboard.kinds.workloads.pod_info import BESIDE, controller_uid, own_uid, pod_info, pod_names, pods_of
from ksnap.dashboard.kinds.workloads.wire import Images, Template, images_of
from ksnap.dashboard.selection.kind import Kind, Metered
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import Index
from ksnap.kube.watch.records import Part, Record, keep
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings

RUNNING, COMPLETE, FAILED = "Running", "Complete", "Failed"


class JobSpec(Part, frozen=True):
    parallelism: int | None = None
    completions: int | None = None
    template: Template | None = None


class JobStatus(Part, frozen=True):
    active: int = 0
    conditions: tuple[RawCondition, ...] = ()


_STATUS = JobStatus()


class Job(Record, frozen=True):
    """A Job. Its template and `status` are empty once it has settled."""

    spec: JobSpec = JobSpec()
    status: JobStatus = _STATUS
    active: int = 0
    state: str = RUNNING
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    images: Images = Images()

    def settle(self, strings: Strings) -> None:
        super().settle(strings)
        spec, status = self.spec, self.status
        state, message = job_state(status.conditions)
        keep(self, "active", status.active)
        keep(self, "state", state)
        keep(self, "message", message)
        keep(self, "conditions", shown_conditions(status.conditions))
        keep(self, "images", images_of(spec.template or Template(), strings))
        keep(self, "spec", strings.same(JobSpec(spec.parallelism, spec.completions)))
        keep(self, "status", _STATUS)

    @property
    def is_active(self) -> bool:
        """Whether it has pods that have not ended."""
        return self.active > 0


def job_state(conditions: Sequence[RawCondition]) -> tuple[str, str]:
    """Running, Complete or Failed, and why it failed."""
    for each in conditions:
        if each.status == "True" and each.type in {COMPLETE, FAILED}:
            return each.type, each.message if each.type == FAILED else ""
    return RUNNING, ""


_BY_STATE: Index[Job] = Index("state", lambda job: (job.state,))


def _pods(record: Job, around: Around) -> Sequence[Pod]:
    return pods_of(record.metadata.uid, around)


def _row(record: Job, around: Around) -> Row:
    return {
        "podInfo": pod_info(record.active, record.spec.completions, _pods(record, around), around),
        **record.images.row,
        "parallelism": record.spec.parallelism,
        "jobStatus": {"status": record.state, "message": record.message, "conditions": record.conditions},
    }


def count_jobs(jobs: View[Job], around: Around) -> dict[str, int]:
    """The envelope's `status`: a Job that has not ended runs if a pod of its own does."""
    unended = jobs.by(_BY_STATE, RUNNING)
    running = sum(1 for job in unended if any(pod.phase == RUNNING for pod in _pods(job, around)))
    return {
        "running": running,
        "pending": len(unended) - running,
        "failed": jobs.count(_BY_STATE, FAILED),
        "succeeded": jobs.count(_BY_STATE, COMPLETE),
    }


def is_of_cron_job(job: Job, uid: str) -> bool:
    return controller_uid(job) == uid


JOBS = Kind(
    Resource("jobs", "Job", Job, group="batch"),
    type_name="job",
    row=_row,
    items="jobs",
    beside=BESIDE,
    status=count_jobs,
    metered=Metered("pod", pod_names(own_uid)),
)


def job_detail(found: Json) -> Row:
    """What a JobDetail has beyond the list's row."""
    return {"completions": section(found, "spec").get("completions")}

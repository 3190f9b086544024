"""CronJobs, and their Jobs by whether these still run."""

from collections.abc import Callable, Collection

from ksnap.dashboard.kinds.common import Json, section
from ksnap.dashboard.kinds.indexes import BY_OWNER
from ksnap.dashboard.kinds.workloads.jobs import Job, is_of_cron_job
from ksnap.dashboard.kinds.workloads.wire import Images, Template, images_of
from ksnap.dashboard.selection.kind import Kind
from ksnap.dashboard.selection.shapes import Row
from ksnap.dashboard.selection.views import Around, View
from ksnap.kube.watch.objects import Index
from ksnap.kube.watch.records import Part, Record, keep
from ksnap.kube.watch.resource import Resource
from ksnap.kube.watch.strings import Strings


class JobSpec(Part, frozen=True):
    template: Template = Template()


class JobTemplate(Part, frozen=True):
    spec: JobSpec = JobSpec()


class CronJobSpec(Part, frozen=True):
    schedule: str = ""
    suspend: bool | None = None
    job_template: JobTemplate = JobTemplate()


class Active(Part, frozen=True):
    uid: str = ""


class CronJobStatus(Part, frozen=True):
    active: tuple[Active, ...] = ()
    last_schedule_time: str | None = None


class CronJob(Record, frozen=True):
    """A CronJob. `spec` has no template any more once it has settled."""

    spec: CronJobSpec = CronJobSpec()
    status: CronJobStatus = CronJobStatus()
    images: Images = Images()

    def settle(self, strings: Strings) -> None:
        super().settle(strings)
        keep(self, "images", images_of(self.spec.job_template.spec.template, strings))
        keep(self, "spec", strings.same(CronJobSpec(self.spec.schedule, self.spec.suspend)))


_BY_SUSPENDED: Index[CronJob] = Index("suspended", lambda record: (bool(record.spec.suspend),))


def _row(record: CronJob, _around: Around) -> Row:
    return {
        "schedule": record.spec.schedule,
        "suspend": record.spec.suspend,
        "active": len(record.status.active),
        "lastSchedule": record.status.last_schedule_time,
        "containerImages": record.images.containers,
    }


def count_cron_jobs(listed: View[CronJob], _around: Around) -> dict[str, int]:
    """The envelope's `status`: the Dashboard shows suspended ones as failed; one that says nothing is not suspended."""
    suspended = listed.count(_BY_SUSPENDED, True)
    return {"running": len(listed) - suspended, "failed": suspended}


CRON_JOBS = Kind(
    Resource("cronjobs", "CronJob", CronJob, group="batch"),
    type_name="cronjob",
    row=_row,
    status=count_cron_jobs,
)


def cron_job_detail(found: Json) -> Row:
    """What a CronJobDetail has beyond the list's row."""
    spec = section(found, "spec")
    return {
        "concurrencyPolicy": spec.get("concurrencyPolicy", ""),
        "startingDeadlineSeconds": spec.get("startingDeadlineSeconds"),
    }


def jobs_of(uid: str, *, active: bool) -> Callable[[View[Job], Around], Collection[Job]]:
    """A CronJob's Jobs that still have pods to wait for, or those that have none."""

    def only(jobs: View[Job], _around: Around) -> Collection[Job]:
        return [job for job in jobs.by(BY_OWNER, uid) if is_of_cron_job(job, uid) and job.is_active is active]

    return only

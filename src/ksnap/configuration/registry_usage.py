"""What needs a registry: clusters that name it, jobs that push there, checkpoints whose images lie there.

A checkpoint's images can be read and removed only through the configuration that they were pushed by.
"""

from sqlalchemy import Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from ksnap.errors import Conflict
from ksnap.store.tables import Checkpoint, Cluster, Job

NAMES_SHOWN = 3


async def refuse_deletion(session: AsyncSession, name: str) -> None:
    """Conflict while anything needs the registry."""
    clusters = select(Cluster.name).where(Cluster.registry_name == name).order_by(Cluster.name).limit(NAMES_SHOWN)
    if found := (await session.scalars(clusters)).all():
        raise Conflict(
            "The registry is in use",
            details=f"named by cluster {', '.join(found)}",
            hint="Give the cluster another registry first",
        )
    await refuse_while_images_lie_there(session, name, hint="Wait for the job, or delete the checkpoints, first")


async def refuse_while_images_lie_there(session: AsyncSession, name: str, *, hint: str) -> None:
    """Conflict while a job pushes to the registry or a checkpoint has an image there."""
    for what, query in (("job", _pushing(name)), ("checkpoint", _own_image(name)), ("checkpoint", _pushed_later(name))):
        if (found := await session.scalar(query.limit(1))) is not None:
            raise Conflict("The registry is in use", details=f"{what} {found} needs it", hint=hint)


def _pushing(name: str) -> Select[str]:
    asked = or_(
        Job.request["registry"].as_string() == name, Job.request[("destination", "registry")].as_string() == name
    )
    return select(Job.id).where(Job.status == "running", asked)


def _own_image(name: str) -> Select[str]:
    return select(Checkpoint.id).where(Checkpoint.registry_name == name)


def _pushed_later(name: str) -> Select[str]:
    """A checkpoint that was pushed elsewhere since has its former image still; the jobs' results know where."""
    return (
        select(Checkpoint.id)
        .join(Job, Job.checkpoint_id == Checkpoint.id)
        .where(Job.status == "completed", Job.result["registry"].as_string() == name)
    )

"""Alembic's entrance: runs the scripts on the connection that `migrate` hands over, inside its transaction."""

from typing import Any, Literal

from alembic import context

from ksnap.store.tables import Base, UtcDateTime


def _render(kind: str, item: object, _context: Any) -> str | Literal[False]:
    """Scripts name only SQLAlchemy's types: they must run as written when ours have changed."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    render_as_batch=True,
    compare_type=True,
    render_item=_render,
)
with context.begin_transaction():
    context.run_migrations()

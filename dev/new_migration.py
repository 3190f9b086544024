"""Draft a migration: `uv run python -m dev.new_migration "What it does"` compares the newest schema with `tables.py`.

Read the draft before committing it; Alembic sees tables, columns and indexes, and neither renames nor data.
"""

import sys
import tempfile
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine

from ksnap.store.database import prepare_sqlite
from ksnap.store.migrate import MIGRATIONS, alembic_config, migrate


def main(message: str) -> None:
    number = f"{len(list((MIGRATIONS / 'versions').glob('*.py'))) + 1:04}"
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'draft.db'}"
        migrate(url)
        engine = create_engine(url)
        prepare_sqlite(engine)
        with engine.begin() as connection:
            command.revision(alembic_config(connection), message, autogenerate=True, rev_id=number)


if __name__ == "__main__":
    main(sys.argv[1])

"""`python -m ksnap.server`: the server with its settings from the environment alone. `ksnap serve` ends in it.

structlog and others import rich, if it is there, for consoles that a server does not have; that costs some megabytes.
A module that is None counts as not installed (Python's import system, "The module cache").
"""

import sys

sys.modules["rich"] = None  # type: ignore[assignment] # what the import system asks for

from ksnap.server.main import run  # noqa: E402
from ksnap.settings import ServerSettings  # noqa: E402

run(ServerSettings())

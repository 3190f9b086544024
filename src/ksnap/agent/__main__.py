"""`python -m ksnap.agent`: the agent without the command line's libraries, which it has no use for.

structlog imports rich, if it is there, for consoles that an agent does not have; that alone is 6 MB of every node.
A module that is None counts as not installed (Python's import system, "The module cache").
"""

import sys

sys.modules["rich"] = None  # type: ignore[assignment] # what the import system asks for

from ksnap.agent.main import run  # noqa: E402
from ksnap.agent.settings import AgentSettings  # noqa: E402

if __name__ == "__main__":
    run(AgentSettings())

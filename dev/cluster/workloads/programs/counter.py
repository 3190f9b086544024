"""Counts once a second, aloud. The smallest thing with memory: a restored one goes on counting."""

import itertools
import os
import signal
import sys
import time

PERIOD_S = float(os.environ.get("PERIOD_S", "1"))


def main() -> None:
    """Count until told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for number in itertools.count():
        print(number, flush=True)
        time.sleep(PERIOD_S)


if __name__ == "__main__":
    main()

"""Keeps the server small: glibc would give each thread of the pools an arena, and keep what was freed in all of them.

Measured while archives were downloaded: 157 MB and growing without, 148 MB and steady with two arenas.
"""

import ctypes
import gc

# malloc.h: parameters of mallopt.
_M_TRIM_THRESHOLD = -1
_M_ARENA_MAX = -8
ARENAS = 2
TRIM_THRESHOLD_BYTES = 128 * 1024


def bound_arenas() -> None:
    """To be called before the first thread. Other C libraries have no such thing, and need none."""
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_ARENA_MAX, ARENAS)
    mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)


def forget_what_stays() -> None:
    """To be called once the server has started: the collector need not look again and again at some hundred thousand
    objects that stay until the end. Measured under load: a pause of 90 ms every five thousand requests without."""
    gc.collect()
    gc.freeze()

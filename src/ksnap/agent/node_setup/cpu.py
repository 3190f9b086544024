"""The CPU's feature level, for the node's label: a process restored on a CPU that lacks what it has seen would crash.

x86-64's levels are those of the System V psABI, section 3.1.1; each implies the ones below. Other architectures are
named as they are. Pure.
"""

import re

CPU_LABEL = "ksnap.dev/cpu"

# As Linux names them in /proc/cpuinfo: lzcnt is `abm`, SSE3 `pni`; OSXSAVE shows as `xsave` with AVX in use.
_LEVELS = (
    ("x86-64-v2", {"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"}),
    ("x86-64-v3", {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}),
    ("x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
)
_FLAGS = re.compile(r"^flags\s*:(.*)$", re.MULTILINE)


def cpu_level(machine: str, cpuinfo: str) -> str:
    """`x86-64-v3` for `x86_64` and the text of /proc/cpuinfo; the machine's own name elsewhere (`aarch64`)."""
    if machine != "x86_64":
        return machine
    # All CPUs of a machine count: a process is moved between them.
    cpus = [set(each.split()) for each in _FLAGS.findall(cpuinfo)]
    level = "x86-64-v1"
    for name, needed in _LEVELS:
        if not cpus or not all(needed <= each for each in cpus):
            break
        level = name
    return level

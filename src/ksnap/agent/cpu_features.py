"""What a frozen process may have seen of its processor, for its image: restored on one that lacks it, it would crash.

CRIU compares processors only where both dump and restore are told to (`--cpu-cap ins`), which no engine but ours could
be; so the image says it, whoever froze it, and ksnap-runc compares (runtime/cpu.go). Names are the kernel's, of
/proc/cpuinfo. Left out is what programs cannot use and kernels differ in: bugs' workarounds, virtualization, power.
"""

import re

CPU_FEATURES = "ksnap.dev/cpu-features"

_X86 = re.compile(r"^flags\s*:(.*)$", re.MULTILINE)
_ARM = re.compile(r"^Features\s*:(.*)$", re.MULTILINE)
# Instruction sets, and what a C library or a just-in-time compiler chooses its code by.
_USED = re.compile(
    r"cmov|cx8|cx16|lahf_lm|fxsr|mmx|mmxext|3dnow\w*|sse\w*|pni|ssse3|popcnt|abm|movbe|aes|vaes|v?pclmulqdq|sha_ni|sha512"
    r"|sm3|sm4|gfni|fma|fma4|xop|tbm|f16c|avx\w*|amx_\w+|bmi1|bmi2|adx|rdrand|rdseed|rdpid|rdtscp|fsgsbase|erms|fsrm|fzrm"
    r"|fsrs|fsrc|xsave\w*|xgetbv1|clflush\w*|clwb|cldemote|movdir\w+|serialize|waitpkg|hle|rtm|pku|ospke|user_shstk"
)


def cpu_features(cpuinfo: str) -> str:
    """The names that every processor of the machine has, in order; empty where the kernel names none."""
    x86 = [{each for each in line.split() if _USED.fullmatch(each)} for line in _X86.findall(cpuinfo)]
    cpus = x86 or [set(line.split()) for line in _ARM.findall(cpuinfo)]
    return " ".join(sorted(set.intersection(*cpus))) if cpus else ""

"""The CPU's feature level out of /proc/cpuinfo."""

import pytest

from ksnap.agent.node_setup.cpu import cpu_level

V2 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = f"{V2} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.mark.parametrize(
    ("cpus", "level"),
    [
        (["fpu sse2"], "x86-64-v1"),
        ([V2], "x86-64-v2"),
        ([V3], "x86-64-v3"),
        ([V4, V4], "x86-64-v4"),
        # One core of a different kind decides, and a level is whole or not at all.
        ([V4, V3], "x86-64-v3"),
        ([V4.replace(" fma", "")], "x86-64-v2"),
        ([], "x86-64-v1"),
    ],
)
def test_level_is_the_highest_that_every_cpu_has_whole(cpus: list[str], level: str) -> None:
    text = "".join(f"processor\t: {number}\nflags\t\t: {flags}\n\n" for number, flags in enumerate(cpus))
    assert cpu_level("x86_64", text) == level


def test_other_machines_are_named_as_they_are() -> None:
    assert cpu_level("aarch64", "Features\t: fp asimd\n") == "aarch64"

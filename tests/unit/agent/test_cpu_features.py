"""What an image says of the processor that froze it."""

from pathlib import Path

import pytest

from ksnap.agent.cpu_features import cpu_features


@pytest.mark.parametrize(
    ("cpuinfo", "features"),
    [
        ("flags\t\t: fpu sse2 avx2 hypervisor\n\nflags\t\t: avx2 sse2\nbugs\t\t: sse4_2\n", "avx2 sse2"),
        # A core of another kind decides.
        ("flags : sse2 avx512f\nflags : sse2\n", "sse2"),
        ("flags : avx512_vnni amx_tile xsavec vmx ibpb arat\n", "amx_tile avx512_vnni xsavec"),
        ("Features\t: fp asimd sve\nCPU part : 0xd40\n", "asimd fp sve"),
        ("processor : 0\n", ""),
    ],
)
def test_features_are_what_programs_can_use_on_every_processor(cpuinfo: str, features: str) -> None:
    assert cpu_features(cpuinfo) == features


def test_this_machine_names_some() -> None:
    assert cpu_features(Path("/proc/cpuinfo").read_text())

"""The times of a restore, from lines that containerd 2.1.9 wrote."""

import pytest

from bench.containerd_log import Spans, spans

FRONT, BACK = "5224c65f" + "0" * 56, "62bfdb79" + "0" * 56
LOG = rf"""
time="2026-11-24T15:38:57.983045717Z" level=info msg="CreateContainer within sandbox \"03ede7e5\" for container &ContainerMetadata{{Name:front,Attempt:0,}}"
time="2026-11-24T15:38:57.984045717Z" level=info msg="Found checkpoint of container front in 10.77.0.1:5001/x@sha256:5838"
time="2026-11-24T15:38:58.130594229Z" level=info msg="CreateContainer within sandbox \"03ede7e5\" for &ContainerMetadata{{Name:front,Attempt:0,}} returns container id \"{FRONT}\""
time="2026-11-24T15:38:58.131435851Z" level=info msg="StartContainer for \"{FRONT}\""
time="2026-11-24T15:38:58.200000000Z" level=info msg="CreateContainer within sandbox \"aaaaaaaa\" for container &ContainerMetadata{{Name:other,Attempt:0,}}"
time="2026-11-24T15:38:58.314526466Z" level=info msg="StartContainer for \"{FRONT}\" returns successfully"
time="2026-11-24T15:38:58.897007895Z" level=info msg="CreateContainer within sandbox \"03ede7e5\" for container &ContainerMetadata{{Name:back,Attempt:0,}}"
time="2026-11-24T15:38:59.084743861Z" level=info msg="CreateContainer within sandbox \"03ede7e5\" for &ContainerMetadata{{Name:back,Attempt:0,}} returns container id \"{BACK}\""
time="2026-11-24T15:38:59.089049927Z" level=info msg="StartContainer for \"{BACK}\""
time="2026-11-24T15:38:59.264686984Z" level=info msg="StartContainer for \"{BACK}\" returns successfully"
"""  # noqa: E501 - as it was written


def test_each_containers_own_times_are_found() -> None:
    assert spans(LOG, FRONT) == Spans(create_s=0.147549, start_s=0.183091)
    assert spans(LOG, BACK) == Spans(create_s=0.187736, start_s=0.175637)


def test_a_log_without_the_container_is_no_measurement() -> None:
    with pytest.raises(LookupError):
        spans(LOG, "f" * 64)

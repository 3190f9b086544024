"""How far a capture is, in percent, from the agent's stages (contract, section 4: the steps' order counts). Pure."""

from ksnap.node.protocol import CaptureEvent, Stage

# Where each stage begins: a dump and a transfer take most of the time, so they have most of the room.
_BEGINS = {
    Stage.QUEUED: 5.0,
    Stage.DUMPING: 15.0,
    Stage.VALIDATING: 40.0,
    Stage.PUSHING: 50.0,
    Stage.AWAITING_FETCH: 50.0,
    Stage.VERIFYING: 90.0,
    Stage.CLEANING: 95.0,
    Stage.DONE: 98.0,
}
_ENDS = {Stage.DUMPING: 40.0, Stage.VALIDATING: 50.0, Stage.PUSHING: 90.0, Stage.AWAITING_FETCH: 90.0}


def capture_percent(event: CaptureEvent) -> float:
    """Between the stage's beginning and its end, by the bytes that are done."""
    return percent_of(event.stage, event.bytes_done, event.bytes_total)


def percent_of(stage: Stage, bytes_done: int | None, bytes_total: int | None) -> float:
    begin = _BEGINS[stage]
    if not bytes_total or bytes_done is None:
        return begin
    end = _ENDS.get(stage, begin)
    return round(begin + (end - begin) * min(1.0, bytes_done / bytes_total), 1)

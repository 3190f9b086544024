"""What waits in both directions: nothing is lost, doubled or out of order, and not too much waits."""

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from ksnap.dashboard.terminal.screen import LIMIT as SCREEN_LIMIT
from ksnap.dashboard.terminal.screen import Screen
from ksnap.dashboard.terminal.typed import LIMIT as TYPED_LIMIT
from ksnap.dashboard.terminal.typed import PIECE, Size, Typed

SOON_S = 5.0


async def test_keys_wait_for_a_process_and_go_on_to_the_next() -> None:
    typed = Typed()
    typed.add(b"l")
    typed.resize(Size(24, 80))
    typed.begin()
    assert await typed.take() == Size(24, 80), "the size first; keys are held"
    typed.add(b"s")
    typed.release()
    assert await typed.take() == b"ls"
    delivered = [typed.delivered]
    typed.begin()  # the former never started
    delivered.append(typed.delivered)
    assert delivered == [True, False]
    typed.add(b"\r")
    assert await typed.take() == Size(24, 80), "each process is told the size"
    typed.release()
    assert await typed.take() == b"ls\r"
    typed.confirm()
    assert typed.taken_bytes == 3


async def test_typing_stops_while_too_much_waits() -> None:
    typed = Typed()
    typed.begin()
    typed.release()
    typed.add(b"x" * TYPED_LIMIT)
    assert typed.is_full
    room = asyncio.create_task(typed.room())
    async with asyncio.timeout(SOON_S):
        assert await typed.take() == b"x" * PIECE
        await room


@given(st.lists(st.binary(max_size=40), max_size=20), st.integers(0, 3))
def test_typing_arrives_once_and_in_order(pieces: list[bytes], failing: int) -> None:
    async def through() -> bytes:
        typed, arrived = Typed(), b""
        for each in pieces:
            typed.add(each)
        for attempt in range(failing + 1):
            typed.begin()
            typed.release()
            arrived = b""
            wanted = sum(map(len, pieces)) if attempt == failing else sum(map(len, pieces)) // 2
            while len(arrived) < wanted:
                taken = await typed.take()
                assert isinstance(taken, bytes)
                arrived += taken
        return arrived

    assert asyncio.run(through()) == b"".join(pieces)


@given(st.text(), st.lists(st.integers(1, 5), max_size=200))
def test_characters_survive_any_cut(text: str, cuts: list[int]) -> None:
    async def through() -> str:
        screen, data, shown = Screen(), text.encode(), ""
        for cut in [*cuts, max(1, len(data))]:
            await screen.add(data[:cut])
            data = data[cut:]
            if cut % 2 == 0:
                screen.touch()
                shown += json.loads(await screen.next())["Data"]
        screen.end_of_output()
        screen.touch()
        return shown + str(json.loads(await screen.next())["Data"])

    assert asyncio.run(through()) == text


async def test_what_is_no_character_is_replaced() -> None:
    screen = Screen()
    await screen.add(b"<\xff><\xe2\x82")
    screen.end_of_output()
    assert json.loads(await screen.next())["Data"] == "<\N{REPLACEMENT CHARACTER}><\N{REPLACEMENT CHARACTER}"


async def test_a_process_waits_while_too_much_output_waits() -> None:
    screen = Screen()
    await screen.add(b"x" * SCREEN_LIMIT)
    more = asyncio.create_task(screen.add(b"y"))
    await asyncio.sleep(0)
    assert not more.done()
    async with asyncio.timeout(SOON_S):
        assert len(json.loads(await screen.next())["Data"]) == SCREEN_LIMIT
        await more
        assert json.loads(await screen.next())["Data"] == "y"


async def test_nobody_waits_for_one_who_has_gone() -> None:
    screen = Screen()
    await screen.add(b"x" * SCREEN_LIMIT)
    more = asyncio.create_task(screen.add(b"y"))
    screen.discard()
    async with asyncio.timeout(SOON_S):
        await more
        await screen.add(b"z" * SCREEN_LIMIT * 2)


async def test_drained_is_when_the_sender_has_come_back() -> None:
    screen = Screen()
    await screen.add(b"x")
    drained = asyncio.create_task(screen.drained())
    await screen.next()
    await asyncio.sleep(0)
    assert not drained.done(), "it is being sent"
    sender = asyncio.create_task(screen.next())
    async with asyncio.timeout(SOON_S):
        await drained
    sender.cancel()

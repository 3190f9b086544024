"""The state machine: one case per rule, and then any order of events at all."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ksnap.sockjs.frames import (
    ANOTHER_RECEIVER,
    INTERRUPTED,
    NOT_RECEIVED,
    Closed,
    ConnectionClosed,
    Heartbeat,
    Messages,
    Opened,
)
from ksnap.sockjs.session import Limits, Session, State

LIMITS = Limits(heartbeat_s=25.0, disconnect_delay_s=5.0, outbox_bytes=100, inbox_bytes=100)
BYE = Closed(3000, "Go away!")


@pytest.fixture
def session() -> Session:
    return Session(LIMITS, 0.0)


@pytest.fixture
def opened(session: Session) -> Session:
    """At 0 s, with a receiver that has been told so."""
    assert session.attach(0.0) is None
    assert session.take(0.0) == Opened()
    return session


class TestReceivers:
    def test_the_first_frame_opens(self, session: Session) -> None:
        assert session.state is State.NEW
        session.send("before anybody came")
        session.attach(1.0)
        assert [session.take(1.0), session.take(1.0), session.take(1.0)] == [
            Opened(),
            Messages(("before anybody came",)),
            None,
        ]

    def test_there_is_one_at_a_time(self, opened: Session) -> None:
        assert opened.attach(1.0) == ANOTHER_RECEIVER
        opened.detach(2.0)
        assert opened.attach(3.0) is None

    def test_a_silent_one_gets_heartbeats(self, opened: Session) -> None:
        assert opened.take(24.9) is None
        assert opened.take(25.0) == Heartbeat()
        assert opened.deadline == 50.0
        opened.send("a")
        assert opened.take(30.0) == Messages(("a",))
        assert opened.take(54.9) is None
        assert opened.take(55.0) == Heartbeat()

    def test_without_one_it_ends(self, opened: Session) -> None:
        opened.detach(10.0)
        assert [opened.expire(now) for now in (14.9, 15.0)] == [False, True]
        assert opened.over == NOT_RECEIVED
        assert opened.state is State.GONE
        assert opened.attach(16.0) == NOT_RECEIVED

    def test_with_one_it_does_not(self, opened: Session) -> None:
        assert not opened.expire(1e9)

    def test_one_that_breaks_interrupts(self, opened: Session) -> None:
        opened.send("lost")
        opened.detach(1.0)
        opened.lose(1.0)
        assert opened.lost
        opened.attach(2.0)
        assert opened.take(2.0) == INTERRUPTED
        with pytest.raises(ConnectionClosed):
            opened.send("more")


class TestTheEnd:
    def test_what_was_sent_comes_before_it(self, opened: Session) -> None:
        opened.send("a")
        opened.close(BYE, 1.0)
        assert [opened.take(1.0), opened.take(1.0), opened.take(1.0)] == [Messages(("a",)), BYE, BYE]

    def test_it_opens_before_it_closes(self, session: Session) -> None:
        session.close(BYE, 0.0)
        session.attach(1.0)
        assert [session.take(1.0), session.take(1.0)] == [Opened(), BYE]

    def test_later_ones_are_told_until_it_is_gone(self, opened: Session) -> None:
        opened.close(BYE, 1.0)
        assert opened.take(2.0) == BYE
        opened.detach(2.0)
        for now in (3.0, 6.0):
            assert opened.attach(now) is None
            assert opened.take(now) == BYE
            opened.detach(now)
        assert not opened.expire(6.9)
        assert opened.expire(7.0)  # coming does not keep it

    def test_one_that_comes_while_another_is_being_told_is_told(self, opened: Session) -> None:
        opened.close(BYE, 1.0)
        assert opened.attach(1.0) == BYE

    def test_one_that_takes_the_rest_piece_by_piece_is_waited_for(self, opened: Session) -> None:
        opened.send("a")
        opened.close(BYE, 1.0)
        opened.take(5.0)
        opened.detach(5.0)
        assert not opened.expire(9.9)
        opened.attach(9.9)
        assert opened.take(9.9) == BYE

    def test_the_first_reason_stays(self, opened: Session) -> None:
        opened.close(BYE, 1.0)
        opened.close(Closed(1, "again"), 1.0)
        opened.lose(1.0)
        assert opened.over == BYE
        assert not opened.lost


class TestTheApplication:
    def test_it_gets_messages_in_order(self, opened: Session) -> None:
        opened.accept(["a", "b"])
        opened.accept([])
        assert [opened.next_message(), opened.next_message(), opened.next_message()] == ["a", "b", None]

    def test_it_gets_what_came_before_the_client_went(self, opened: Session) -> None:
        opened.accept(["last words"])
        opened.lose(1.0)
        opened.accept(["too late"])
        assert opened.next_message() == "last words"
        with pytest.raises(ConnectionClosed) as ended:
            opened.next_message()
        assert ended.value.closed == INTERRUPTED

    def test_it_gets_nothing_once_it_has_closed(self, opened: Session) -> None:
        opened.accept(["unread"])
        opened.close(BYE, 1.0)
        with pytest.raises(ConnectionClosed):
            opened.next_message()

    def test_both_sides_are_told_when_the_other_is_slow(self, opened: Session) -> None:
        opened.send("x" * 36)
        at_first = opened.outbox_full
        opened.send("x")
        then = opened.outbox_full
        opened.take(1.0)
        assert (at_first, then, opened.outbox_full) == (False, True, False)
        opened.accept(["", ""])
        then = opened.inbox_full
        opened.next_message()
        assert (then, opened.inbox_full) == (True, False)


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: messages arrive once and in order, and the frames follow the grammar.

    o (a | h)* c*, over all receivers together; after c nothing but c; and nothing is lost unless a receiver broke.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.session = Session(LIMITS, self.now)
        self.sent: list[str] = []
        self.received: list[str] = []
        self.given: list[str] = []
        self.read: list[str] = []
        self.frames = ""
        self.broke = False

    @property
    def alive(self) -> bool:
        return self.session.over is None

    @rule(seconds=st.floats(0.0, 30.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        late = not self.session.attached and self.now >= self.session.deadline
        was_gone = self.session.state is State.GONE
        assert self.session.expire(self.now) == (late or was_gone)

    @rule()
    def somebody_comes(self) -> None:
        attached, over, gone = self.session.attached, self.session.over, self.session.state is State.GONE
        refused = self.session.attach(self.now)
        if gone:
            assert refused == over
        elif attached:
            assert refused == (over or ANOTHER_RECEIVER)
        else:
            assert refused is None

    @precondition(lambda self: self.session.attached)
    @rule()
    def it_takes(self) -> None:
        match frame := self.session.take(self.now):
            case Messages(messages):
                self.received += messages
            case Closed():
                assert frame == self.session.over
            case None:
                assert self.alive
                assert self.now < self.session.deadline
        self.frames += frame.text()[0] if frame else ""

    @precondition(lambda self: self.session.attached)
    @rule()
    def it_goes(self) -> None:
        self.session.detach(self.now)

    @precondition(lambda self: self.session.attached)
    @rule()
    def it_breaks(self) -> None:
        self.broke = self.broke or self.alive
        self.session.detach(self.now)
        self.session.lose(self.now)

    @rule(size=st.integers(0, 12))
    def the_application_sends(self, size: int) -> None:
        message = f"{len(self.sent)}{'x' * size}"
        try:
            self.session.send(message)
        except ConnectionClosed:
            assert not self.alive
        else:
            self.sent.append(message)

    @rule(count=st.integers(0, 3))
    def the_client_sends(self, count: int) -> None:
        messages = [f"{len(self.given) + each}" for each in range(count)]
        if self.alive:
            self.given += messages
        self.session.accept(messages)

    @rule()
    def the_application_reads(self) -> None:
        try:
            message = self.session.next_message()
        except ConnectionClosed:
            assert not self.alive
        else:
            assert message is not None or self.alive
            self.read += [] if message is None else [message]

    @rule()
    def the_application_closes(self) -> None:
        self.session.close(BYE, self.now)

    @invariant()
    def messages_arrive_in_order(self) -> None:
        assert self.received == self.sent[: len(self.received)]
        assert self.read == self.given[: len(self.read)]
        if "c" in self.frames and not self.broke:
            assert self.received == self.sent

    @invariant()
    def frames_follow_the_grammar(self) -> None:
        told = self.frames.rstrip("c")
        assert told == "" or told[0] == "o"
        assert set(told[1:]) <= {"a", "h"}
        assert "c" not in self.frames or told


TestAnyOrder = AnyOrder.TestCase

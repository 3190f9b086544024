"""SockJS 0.3 without input or output: messages that travel as over a WebSocket where there is none.

Start at `session.Session`, the state machine of one session; `frames` is what it says, `wire` how each transport writes
that down, `paths` which address is which transport, `answers` and `origins` the rest of its HTTP. The source is
sockjs-protocol 0.3.3, whose sections the tests are named by; where it is silent, sockjs-client 1.6 decides.
"""

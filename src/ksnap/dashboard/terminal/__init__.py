"""A shell in a container for a browser (contract, section 9).

Start at `sessions.py`: a session is opened for a caller, bound once to a connection, and owned by one task until it
ends. `session.py` is what happens while it is bound, `attempt.py` one shell of it, `hang_up.py` the end of a shell
whose client has gone. Pure are `messages`, `closing`, `shells`, `process_table`.
"""

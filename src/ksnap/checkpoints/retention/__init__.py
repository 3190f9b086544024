"""Which checkpoints are kept: policies, rounds that delete what no policy keeps, and garbage that no record names.

Start at `rules.py`, which decides and does nothing; `rounds.py` does what it says.
"""

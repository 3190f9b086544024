"""`python -m ksnap.cli`: the program where its script is not installed."""

from ksnap.cli.main import main

main()

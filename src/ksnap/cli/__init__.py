"""The `ksnap` command line: it starts the programs, and talks to a server through the public HTTP API alone.

One file per group of verbs. `main` puts them together, `verb` gives each its common options, `invocation` is what a
verb gets, `api` talks to the server, `exits` says what an exit code means. Data goes to stdout, all else to stderr.
"""

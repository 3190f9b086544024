#!/bin/sh
# PostgreSQL with a client of its own, which holds a lock and a token for as long as its session lives: the token is
# the session's application_name, so it is in shared memory and in no file.
set -eu
initdb --auth=trust --username=postgres --no-sync --no-instructions >/dev/null
echo 'host all all all trust' >>"$PGDATA/pg_hba.conf"
{
	until pg_isready --quiet; do sleep 0.1; done
	{
		echo "select pg_advisory_lock(42);"
		echo "select set_config('application_name', gen_random_uuid()::text, false);"
		# The session's input must not end; a sleep of busybox 1.37 would, at the freeze.
		exec tail -f /dev/null
	} | psql --quiet --output=/dev/null
} &
exec postgres -c listen_addresses='*' -c jit=off "$@"

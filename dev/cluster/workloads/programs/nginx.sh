#!/bin/sh
# nginx with workers of another user, and a token that is in its memory and in no file: it is drawn here, read as a
# part of the configuration, and the file is gone before the port answers for anyone else.
set -eu
token=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
cat >/run/token.conf <<END
location = / { default_type application/json; return 200 '{"token": "$token"}'; }
END
{
	until wget -q -O /dev/null http://127.0.0.1:8080/; do sleep 0.1; done
	rm /run/token.conf
} &
exec /usr/sbin/nginx -c /app/nginx.conf

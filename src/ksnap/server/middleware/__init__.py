"""What happens around every request, as plain ASGI: from the outside in `context` (ids, log, headers), CORS,
`admission` (token and limits, before the body is read), `dashboard_log` if the settings ask for it, `body` (its size),
`unexpected` (errors of our own).
"""

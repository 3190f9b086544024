"""The server's entrance: `app.create_app` makes it, `main.run` runs it, `routes/` translate HTTP to services.

Nothing is decided here: routes parse, call a service of `services.Services` and shape the reply.
"""

"""Who may do what: users and roles (`users`), logins (`logins`), tokens (`tokens`), agents' tokens (`agents`), the
trail of what was done (`audit`), requests per hour (`limits`). Start at `principal`.
"""

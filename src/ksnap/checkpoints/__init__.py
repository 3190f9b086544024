"""Checkpoints: freezing, publishing, restoring, deleting, as durable jobs. Start at `service.py`.

`engine.py` runs jobs (DBOS), one module per kind says what its stages do, `records.py` and `job_log.py` keep what is
known in the database. Every stage is idempotent: it may run again after a kill -9 at any point.
"""

"""The server's memory: database (`tables`, `database`), blobs (`blobs`), secrets at rest (`encryption`)."""

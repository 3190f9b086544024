"""What each list holds: one module per kind, the records and the rows. How to add one: `dashboard/selection`."""

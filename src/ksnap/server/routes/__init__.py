"""HTTP routes by API: `snap` is the SNAP API."""

"""The dashboard's services."""

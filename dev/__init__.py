"""Tools for those who work on ksnap. Nothing here is part of the product or of its wheel."""

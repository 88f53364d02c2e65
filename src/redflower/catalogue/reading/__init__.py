"""From a raw table to one with the known columns and units."""

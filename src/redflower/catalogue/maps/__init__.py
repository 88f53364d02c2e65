"""Dust maps, the distance prior, and counts for the selection function."""

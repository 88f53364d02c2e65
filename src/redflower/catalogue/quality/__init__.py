"""Cuts on stars and on single bands, the parallax zero point, and the account of what they left."""

"""Small objects that several tests share."""

"""Tables of any format, read and written."""

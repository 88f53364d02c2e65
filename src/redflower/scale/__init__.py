"""Catalogues larger than memory: parts of a table, each inferred and written whole, in a run that can be resumed."""

from redflower.scale.stream import PART_ROWS as PART_ROWS
from redflower.scale.stream import StreamReport as StreamReport
from redflower.scale.stream import infer_file as infer_file

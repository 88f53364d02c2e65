"""Catalogues larger than memory: parts of a table, each inferred and written whole, in a run that can be resumed."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.scale.hats.inference import infer_hats as infer_hats
    from redflower.scale.hats.preparation import prepare_hats as prepare_hats
    from redflower.scale.part_record import Failure as Failure
    from redflower.scale.run import run as run
    from redflower.scale.stream import StreamReport as StreamReport
    from redflower.scale.stream import infer_file as infer_file
    from redflower.scale.stream import rows_kept as rows_kept

lazy_names(__name__)

"""What the commands leave: folders of tables, figures and one page, and how to draw them again."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.products.arviz_objects import cloud_inference_data as cloud_inference_data
    from redflower.products.folder import redraw as redraw
    from redflower.products.sightline import SightlineResult as SightlineResult
    from redflower.products.sightline import write_sightline as write_sightline

lazy_names(__name__)

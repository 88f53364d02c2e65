"""The mock Galaxy and surveys."""

from typing import TYPE_CHECKING

from redflower.lazy import lazy_names

if TYPE_CHECKING:
    from redflower.simulate.dust_field import DustField as DustField
    from redflower.simulate.dust_field import DustSheet as DustSheet
    from redflower.simulate.dust_field import draw_dust_field as draw_dust_field
    from redflower.simulate.sky import simulate_stars as simulate_stars

lazy_names(__name__)

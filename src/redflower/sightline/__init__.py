"""From posteriors of single stars to reddening along a sightline."""

from redflower.sightline.profile import Profile as Profile
from redflower.sightline.profile import binned_profile as binned_profile

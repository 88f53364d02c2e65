"""The page of a field's map, in a real browser: what is drawn follows the slider and the choice of layer."""

from pathlib import Path

import numpy as np

from redflower.products.field_map import FieldMap
from redflower.products.field_page import write_field_page
from redflower.products.sampled_map import NOT_CONVERGED
from tests.helpers.browser import Page, in_browser

#: Share of the middle of the picture that is of the colour of the largest value.
_BRIGHT = """(() => { const g = document.getElementById('sky').getContext('2d');
const d = g.getImageData(260, 260, 200, 200).data; let n = 0;
for (let i = 0; i < d.length; i += 4) if (d[i] > 200 && d[i + 1] > 200 && d[i + 2] < 100) n++;
return n / (d.length / 4); })()"""


def field() -> FieldMap:
    """A field with all its dust, 0.1 mag, between 300 and 900 pc; nothing is known beyond."""
    pixel = np.arange(1024) + 1024 * 37
    samples = np.zeros((30, len(pixel), 3))
    samples[:, :, 1] = 0.1 + 0.001 * np.random.default_rng(1).standard_normal((30, 1))
    samples[:, :, 2] = np.nan
    return FieldMap(
        nside=128,
        pixel=pixel,
        distance_pc=np.array([300.0, 900.0, 3000.0]),
        samples_mag=samples,
        zero_point_mag=np.full((30, 1), 0.01),
        groups=("ALL",),
        n_star=np.full(len(pixel), 3),
        served=np.ones(len(pixel)),
        resolution_deg=np.full((len(pixel), 3), 0.5),
        numbers={},
        r_hat=np.ones(len(pixel)),
        status=NOT_CONVERGED,
    )


def test_the_slider_goes_through_distance(tmp_path: Path) -> None:
    path = tmp_path / "field.html"
    write_field_page(field(), path, title="Dust of a <field>")

    async def look(page: Page) -> None:
        await page.open(path.as_uri())
        await page.until("document.body.dataset.ready === 'yes'")
        assert page.errors == []
        assert await page.value("document.title") == "Dust of a <field>"
        assert "do not agree" in await page.value("document.body.textContent")
        # The farthest distance has no values, and the slider ends before it.
        assert await page.value("document.getElementById('said').textContent") == "out to 900 pc"
        assert await page.value(_BRIGHT) > 0.95
        move = (
            "const s = document.getElementById('distance'); s.value = 0; s.dispatchEvent(new Event('input'));"
        )
        await page.value(move)
        assert await page.value("document.getElementById('said').textContent") == "out to 300 pc"
        assert await page.value(_BRIGHT) == 0.0
        await page.value(
            "const l = document.getElementById('layer'); l.value = 'resolution'; l.dispatchEvent(new Event('change'));"
        )
        assert await page.value("document.getElementById('high').textContent") == "0.50 deg"
        assert await page.value(_BRIGHT) > 0.95
        assert page.errors == []

    in_browser(look)

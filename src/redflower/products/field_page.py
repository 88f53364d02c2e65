"""One page of a field's map, nothing beside it needed: E(B-V), error and resolution with a slider through distance, and a cut."""

import base64
import html
import json
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from jaxtyping import Float

from redflower.files import written_whole
from redflower.products.field_map import FieldMap
from redflower.products.page import STYLE
from redflower.products.sampled_map import OK
from redflower.sky_patch import patch_around

#: Parts of the cut along the sky.
_CUT_BINS: Final = 60
#: Numbers are stored as shares of the largest, in whole numbers of two bytes; the last stands for no value.
_NONE: Final = 65535

_SCRIPT: Final = """
const decode = t => new Uint16Array(Uint8Array.from(atob(t), c => c.charCodeAt(0)).buffer);
const layers = {}; for (const k in D.layers) layers[k] = {...D.layers[k], values: decode(D.layers[k].values)};
const id = n => document.getElementById(n);
const colour = s => D.colours[Math.max(0, Math.min(D.colours.length - 1, Math.floor(s * D.colours.length)))];
function bar(layer) {
  const few = D.colours.filter((c, i) => i % 4 == 0);
  id('bar').innerHTML = few.map(c => `<i style="background:${c}"></i>`).join('');
  id('low').textContent = '0'; id('high').textContent = layer.largest.toPrecision(2) + ' ' + layer.unit;
}
function draw() {
  const layer = layers[id('layer').value], k = +id('distance').value, c = id('sky'), g = c.getContext('2d');
  const s = c.width / D.size, n = D.x.length, w = Math.ceil(1.12 * D.side * s) + 1;
  g.fillStyle = '#eee'; g.fillRect(0, 0, c.width, c.height);
  for (let i = 0; i < n; i++) {
    const v = layer.values[k * n + i]; if (v == 65535) continue;
    g.fillStyle = colour(v / 65534);
    g.fillRect(c.width / 2 - D.x[i] * s - w / 2, c.height / 2 - D.y[i] * s - w / 2, w, w);
  }
  id('said').textContent = 'out to ' + Math.round(D.distance[k]) + ' pc'; bar(layer);
}
function cut() {
  const c = id('cut'), g = c.getContext('2d'), m = D.cut.length, n = D.cut[0].length, top = D.cut_largest;
  const far = D.distance[D.distance.length - 1];
  g.fillStyle = '#eee'; g.fillRect(0, 0, c.width, c.height);
  for (let k = 0; k < m; k++) for (let i = 0; i < n; i++) {
    const v = D.cut[k][i]; if (v === null) continue;
    const near = k ? D.distance[k - 1] : 0, y0 = c.height * (1 - D.distance[k] / far), y1 = c.height * (1 - near / far);
    g.fillStyle = colour(v / top); g.fillRect(c.width * (1 - (i + 1) / n), y0, c.width / n + 1, y1 - y0 + 1);
  }
}
id('distance').addEventListener('input', draw); id('layer').addEventListener('change', draw);
draw(); cut(); document.body.dataset.ready = 'yes';
"""


def write_field_page(field: FieldMap, path: Path, *, title: str) -> None:
    """Write the page of a field's map.

    Parameters
    ----------
    field : the map.
    path : of the page.
    title : its heading.
    """
    known = np.isfinite(field.ebv_mag).any(axis=0)
    distance = field.distance_pc[known]
    l_deg, b_deg = field.centres_deg()
    patch = patch_around(l_deg, b_deg)
    x, y = patch.to_plane(l_deg, b_deg)
    side = float(np.degrees(np.sqrt(4.0 * np.pi / 12.0))) / field.nside
    cut = _cut(field.ebv_mag[:, known], x, y, patch.size_deg)
    steps = np.diff(np.concatenate([[0.0], distance])) / 1000.0
    per_kpc = cut / steps[:, None]
    layers = {
        "ebv": ("E(B-V)", field.ebv_mag[:, known], "mag"),
        "error": ("error of E(B-V)", field.ebv_std_mag[:, known], "mag"),
        "resolution": ("effective resolution", field.resolution_deg[:, known], "deg"),
    }
    data = {
        "x": np.round(x, 4).tolist(),
        "y": np.round(y, 4).tolist(),
        "side": side,
        "size": patch.size_deg + 2 * side,
        "distance": distance.tolist(),
        "layers": {name: _layer(values, unit) for name, (_, values, unit) in layers.items()},
        "cut": [[None if not np.isfinite(v) else round(float(v), 5) for v in row] for row in per_kpc],
        "cut_largest": float(np.nanmax(per_kpc, initial=1e-6)),
        "colours": [
            matplotlib.colors.to_hex(c) for c in matplotlib.colormaps["viridis"](np.linspace(0, 1, 64))
        ],
    }
    with written_whole(path) as part:
        part.write_text(
            _page(field, title, data, {n: words for n, (words, _, _) in layers.items()}), encoding="utf-8"
        )


def _layer(values: Float[np.ndarray, "pixel distance"], unit: str) -> dict[str, Any]:
    largest = max(float(np.nanmax(values, initial=0.0)), 1e-6)
    whole = np.where(np.isfinite(values), np.round(np.clip(values / largest, 0, 1) * (_NONE - 1)), _NONE)
    packed = base64.b64encode(whole.T.astype("<u2").tobytes()).decode()
    return {"values": packed, "largest": largest, "unit": unit}


def _cut(
    ebv_mag: Float[np.ndarray, "pixel distance"], x_deg: np.ndarray, y_deg: np.ndarray, size_deg: float
) -> Float[np.ndarray, "distance bin"]:
    """Return the mean E(B-V) between distances in bins along the field's middle, a tenth of it wide. [mag]"""
    row = np.abs(y_deg) < size_deg / 20.0
    n = min(_CUT_BINS, max(4, int(np.sqrt(row.sum()))))
    place = np.clip(((x_deg[row] / size_deg + 0.5) * n).astype(int), 0, n - 1)
    count = np.bincount(place, minlength=n).astype(float)
    between = np.diff(np.concatenate([np.zeros((row.sum(), 1)), ebv_mag[row]], axis=1), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([np.bincount(place, values, minlength=n) / count for values in between.T])


def _page(field: FieldMap, title: str, data: dict[str, Any], names: dict[str, str]) -> str:
    converged = (
        "The chains agree."
        if field.status == OK
        else "<strong>The chains do not agree (not_converged): the errors are not to be trusted.</strong>"
    )
    zero = ", ".join(f"{v.mean():+.4f} &plusmn; {v.std():.4f} mag" for v in field.zero_point_mag.T[:6])
    options = "".join(f'<option value="{n}">{html.escape(words)}</option>' for n, words in names.items())
    # A "</" within the data would end the script.
    told = json.dumps(data).replace("</", "<\\/")
    last = len(data["distance"]) - 1
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>
<style>{STYLE}canvas,input[type=range]{{width:100%;max-width:36rem;height:auto}}canvas{{border:1px solid #ccc}}
#bar{{display:inline-flex;vertical-align:middle}}#bar i{{width:.8rem;height:1rem}}</style></head><body>
<h1>{html.escape(title)}</h1>
<p>{len(field.pixel):,} pixels of nside {field.nside}, {int(field.n_star.sum()):,} stars, {len(field.samples_mag)} samples.
{converged} Zero point of the reddenings, not in the map: {zero}.</p>
<div class="side"><figure><p><label>Show <select id="layer">{options}</select></label> <span id="said"></span></p>
<input type="range" id="distance" aria-label="distance" min="0" max="{last}" value="{last}">
<canvas id="sky" width="720" height="720"></canvas>
<p><span id="low"></span> <span id="bar"></span> <span id="high"></span></p>
<figcaption>The sky about the field's middle; Galactic longitude rises to the left, latitude upwards; the side is
{data["size"]:.1f} deg. The slider goes through the distances out to which E(B-V) is given. Where the effective resolution is
larger than a pixel, the pixel shows what its surroundings know.</figcaption></figure>
<figure><p>A cut through the field's middle</p><canvas id="cut" width="720" height="720"></canvas>
<figcaption>E(B-V) per kpc in a strip along the field's middle, a tenth of it wide: longitude rises to the left, distance upwards
from the Sun to {data["distance"][-1]:.0f} pc. Yellow is {data["cut_largest"]:.2g} mag per kpc.</figcaption></figure></div>
<script>const D = {told};{_SCRIPT}</script></body></html>"""

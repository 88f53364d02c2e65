"""Linked plots to explore stars by hand, by Bokeh: a star chosen in one is chosen in all, and its posterior is drawn."""

import base64
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astropy.table import Table

from redflower.errors import InputError
from redflower.plot.posteriors import reddening_range_mag
from redflower.posterior.columns import STEP_NAT

#: What the page and the scripts call the part of the page that says the numbers of a star.
STAR_ELEMENT: Final = "star"
_TOOLS: Final = "tap,pan,wheel_zoom,box_zoom,reset"
_LABEL: Final = "E(B-V), posterior mean [mag]"
_COLOURS: Final = "Viridis256"

#: Choose a star: say its numbers, and draw its density on quadrangles of distance and E(B-V).
_CHOOSE: Final = """
const chosen = stars.selected.indices
const place = document.getElementById("star")
const empty = {left: [], right: [], top: [], bottom: [], alpha: []}
if (chosen.length == 0) {
  density.data = empty; quantiles.data = {x0: [], x1: [], y0: [], y1: []}; place.innerHTML = none
  return
}
const k = chosen[0], data = stars.data
history.replaceState(null, "", "#star=" + data.id[k])
const number = (value, n) => Number(value).toLocaleString("en", {minimumFractionDigits: n, maximumFractionDigits: n})
const rows = [["source_id", data.id[k]], ["status", data.status[k]]]
rows.push(["E(B-V)", number(data.y[k], 3) + " ± " + number(data.ebv_std[k], 3) + " mag"])
rows.push(["E(B-V), 90 % between", number(data.ebv_q05[k], 3) + " and " + number(data.ebv_q95[k], 3) + " mag"])
rows.push(["distance", number(data.x[k], 0) + " ± " + number(data.distance_std[k], 0) + " pc"])
rows.push(["distance, 90 % between", number(data.distance_q05[k], 0) + " and " + number(data.distance_q95[k], 0) + " pc"])
rows.push(["l, b", number((data.l[k] + 360) % 360, 4) + ", " + number(data.b[k], 4) + " deg"])
if (data.g) rows.push(["G, BP - RP", number(data.g[k], 2) + ", " + number(data.colour[k], 2) + " mag"])
if (data.bands) rows.push(["bands", data.bands[k]])
place.replaceChildren(...rows.map(([name, value]) => {
  const pair = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd")
  dt.textContent = name; dd.textContent = value
  pair.append(dt, dd)
  return pair
}))
quantiles.data = {
  x0: [data.distance_q05[k], data.x[k]], x1: [data.distance_q95[k], data.x[k]],
  y0: [data.y[k], data.ebv_q05[k]], y1: [data.y[k], data.ebv_q95[k]],
}
if (coded) {
  const n = n_modulus * n_ebv, from = Math.floor(k * n / 3) * 4, skipped = k * n - from / 4 * 3
  const steps = atob(coded.slice(from, from + 4 * Math.ceil((skipped + n) / 3)))
  const made = {left: [], right: [], top: [], bottom: [], alpha: []}
  for (let i = 0; i < n_modulus; i++) {
    const mu = data.mu0[k] + i * data.dmu[k]
    for (let j = 0; j < n_ebv; j++) {
      const step = steps.charCodeAt(skipped + i * n_ebv + j)
      if (step > 60) continue
      const e = data.e0[k] + j * data.de[k]
      made.left.push(10 ** (1 + (mu - data.dmu[k] / 2) / 5)); made.right.push(10 ** (1 + (mu + data.dmu[k] / 2) / 5))
      made.bottom.push(e - data.de[k] / 2); made.top.push(e + data.de[k] / 2)
      made.alpha.push(Math.exp(-step_nat * step))
    }
  }
  density.data = made
}
"""
#: Once Bokeh has made its plots: choose the star that the page's address names, as in #star=608.
_ADDRESS: Final = """<script>
function openStar() {
  const stars = window.Bokeh?.documents[0]?.get_model_by_name("stars")
  if (!stars) { setTimeout(openStar, 50); return }
  const wanted = new URLSearchParams(window.location.hash.slice(1)).get("star")
  const k = stars.data.id.indexOf(wanted)
  if (k >= 0) stars.selected.indices = [k]
}
openStar()
window.addEventListener("hashchange", openStar)
</script>"""
_STEP: Final = """
const n = stars.data.id.length, now = stars.selected.indices
stars.selected.indices = [now.length ? (now[0] + by + n) % n : by > 0 ? 0 : n - 1]
"""
_FIND: Final = """
const k = stars.data.id.indexOf(box.value.trim())
if (k >= 0) stars.selected.indices = [k]
"""


@dataclass(frozen=True)
class LinkedPlots:
    """What a page needs: HTML elements of the plots by name, the script that fills them, and that of the library.

    Attributes
    ----------
    elements : ``distance``, ``sky``, ``diagram`` (where the stars have G, BP and RP), ``posterior`` and ``controls``.
    script : for the end of the page.
    library : Bokeh itself, so that no network is needed.
    """

    elements: dict[str, str]
    script: str
    library: str


def linked_plots(stars: Table, density: Any = None) -> LinkedPlots:
    """Return linked plots of stars: E(B-V) against distance, the sky, the diagram, and the posterior of the chosen star.

    Parameters
    ----------
    stars : posteriors, with ``gaia_g``, ``gaia_bp`` and ``gaia_rp`` beside for the diagram.
    density : of the same stars, a `redflower.posterior.JointDensity`. If None, a cross of quantiles is drawn alone.

    Raises
    ------
    InputError
        If Bokeh is not installed.
    """
    try:
        from bokeh.embed import components
        from bokeh.models import Button, ColumnDataSource, CustomJS, LinearColorMapper, TextInput
        from bokeh.resources import INLINE
    except ImportError:
        raise InputError(
            "explore needs Bokeh, which is not installed: pip install 'redflower[explore]'."
        ) from None
    source = ColumnDataSource(_columns(stars, density), name="stars")
    low, high = reddening_range_mag(stars)
    mapper = LinearColorMapper(palette=_COLOURS, low=low, high=high)
    plots = {
        "distance": _scatter(
            source, mapper, "x", "y", "distance [pc]", _LABEL, "E(B-V) against distance", logarithmic=True
        ),
        "sky": _scatter(
            source,
            mapper,
            "l",
            "b",
            "l [deg]",
            "b [deg]",
            "On the sky; colour, in all plots: E(B-V) [mag]",
            bar=True,
        ),
    }
    plots["sky"].x_range.flipped = True
    if "g" in source.data:
        plots["diagram"] = _scatter(
            source,
            mapper,
            "colour",
            "g",
            "observed BP - RP [mag]",
            "observed G [mag]",
            "Colour and magnitude",
        )
        plots["diagram"].y_range.flipped = True
    posterior, shade, quantiles = _posterior_plot()
    plots["posterior"] = posterior
    choose = CustomJS(
        args={
            "stars": source, "density": shade, "quantiles": quantiles, "none": "<div><dt>no star is chosen</dt><dd></dd></div>",
            **_of_density(density),
        },
        code=_CHOOSE,
    )  # fmt: skip
    source.selected.js_on_change("indices", choose)
    box = TextInput(title="source_id", width=220)
    box.js_on_change("value", CustomJS(args={"stars": source, "box": box}, code=_FIND))
    controls: dict[str, Any] = {"find": box}
    for name, by in (("previous star", -1), ("next star", 1)):
        button = Button(label=name, width=110)
        button.js_on_click(CustomJS(args={"stars": source, "by": by}, code=_STEP))
        controls[name.partition(" ")[0]] = button
    script, divs = components({**plots, **controls}, wrap_script=True)
    return LinkedPlots(dict(divs), script + _ADDRESS, _library(INLINE))


def _library(inline: Any) -> str:
    """Return Bokeh's own scripts: plots and widgets, and nothing from a network."""
    from bokeh.resources import Resources

    return str(Resources(mode=inline.mode, components=["bokeh", "bokeh-widgets"]).render())


def _columns(stars: Table, density: Any) -> dict[str, Any]:
    """Return the columns that the plots and the scripts read."""
    columns: dict[str, Any] = {
        # As text: JavaScript's numbers have no 19 digits.
        "id": [str(int(value)) for value in stars["source_id"]],
        "status": [str(word) for word in stars["status"]],
        "x": _floats(stars, "distance_mean"),
        "y": _floats(stars, "ebv_mean"),
    }
    for name in ("ebv_std", "ebv_q05", "ebv_q95", "distance_std", "distance_q05", "distance_q95", "l", "b"):
        columns[name] = _floats(stars, name)
    columns["l"] = _round_the_sky(columns["l"])
    if "bands" in stars.colnames:
        columns["bands"] = [str(word) for word in stars["bands"]]
    if {"gaia_g", "gaia_bp", "gaia_rp"} <= set(stars.colnames):
        columns["g"] = _floats(stars, "gaia_g")
        columns["colour"] = _floats(stars, "gaia_bp") - _floats(stars, "gaia_rp")
    if density is not None:
        columns |= {
            "e0": density.ebv_start_mag, "de": density.ebv_step_mag,
            "mu0": density.modulus_start_mag, "dmu": density.modulus_step_mag,
        }  # fmt: skip
    return {
        name: _short(value) if isinstance(value, np.ndarray) else value for name, value in columns.items()
    }


def _of_density(density: Any) -> dict[str, Any]:
    """Return what the script needs of the densities: a byte per node and star, as text."""
    if density is None:
        return {"coded": "", "n_modulus": 0, "n_ebv": 0, "step_nat": STEP_NAT}
    steps = np.ascontiguousarray(density.steps_below_peak, dtype=np.uint8)
    text = base64.b64encode(steps.tobytes()).decode()
    return {"coded": text, "n_modulus": steps.shape[1], "n_ebv": steps.shape[2], "step_nat": STEP_NAT}


def _floats(stars: Table, name: str) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(stars[name]).astype(float), np.nan)


def _short(values: np.ndarray) -> list[float]:
    """Return numbers with six digits, as a list: short as text, where Bokeh would write an array as bytes."""
    return [float(f"{value:.6g}") for value in values]


def _round_the_sky(l_deg: np.ndarray) -> np.ndarray:
    """Return longitudes without a jump at 360 deg in the middle of the stars. [deg]"""
    around = np.radians(l_deg[np.isfinite(l_deg)])
    if not len(around):
        return l_deg
    centre = float(np.degrees(np.arctan2(np.sin(around).mean(), np.cos(around).mean()))) % 360.0
    return (l_deg - centre + 180.0) % 360.0 - 180.0 + centre


def _figure(**options: Any) -> Any:
    from bokeh.plotting import figure

    plot = figure(
        height=330, sizing_mode="stretch_width", toolbar_location="above", output_backend="canvas", **options
    )
    plot.toolbar.logo = None
    return plot


def _scatter(
    source: Any, mapper: Any, x: str, y: str, x_label: str, y_label: str, title: str, *, logarithmic: bool = False,
    bar: bool = False,
) -> Any:  # fmt: skip
    """Draw the stars of a source; the chosen one is ringed."""
    from bokeh.models import ColorBar, FixedTicker, WheelZoomTool

    axis = {"x_axis_type": "log"} if logarithmic else {}
    plot = _figure(tools=_TOOLS, title=title, x_axis_label=x_label, y_axis_label=y_label, **axis)
    plot.xaxis.ticker.desired_num_ticks = (
        4  # a phone has no room for more; a star's place is in the numbers below
    )
    if logarithmic:
        plot.xaxis.ticker = FixedTicker(ticks=[m * 10**k for k in range(1, 6) for m in (1, 2, 5)])
    plot.toolbar.active_scroll = plot.select_one(WheelZoomTool)
    size = float(np.clip(60.0 / np.sqrt(max(len(source.data["id"]), 1)), 3.0, 8.0))
    drawn = plot.scatter(
        x,
        y,
        source=source,
        size=size,
        line_color=None,
        fill_color={"field": "y", "transform": mapper},
        fill_alpha=0.8,
    )
    drawn.selection_glyph = type(drawn.glyph)(
        size=15, line_color="#d81b60", line_width=3, fill_color={"field": "y", "transform": mapper}
    )
    drawn.nonselection_glyph = type(drawn.glyph)(
        size=size, line_color=None, fill_color={"field": "y", "transform": mapper}, fill_alpha=0.45
    )
    if bar:
        plot.add_layout(
            ColorBar(color_mapper=mapper, width=12),
            "right",
        )
    return plot


def _posterior_plot() -> tuple[Any, Any, Any]:
    """Return the plot of the chosen star's posterior, and the sources that its script fills."""
    from bokeh.models import ColumnDataSource

    plot = _figure(
        tools="pan,wheel_zoom,reset", title="Posterior of the chosen star (click one)", x_axis_label="distance [pc]",
        y_axis_label="E(B-V) [mag]",
    )  # fmt: skip
    shade = ColumnDataSource({name: [] for name in ("left", "right", "top", "bottom", "alpha")})
    plot.quad(
        left="left", right="right", top="top", bottom="bottom", fill_alpha="alpha", source=shade, fill_color="#1f5a96",
        line_color=None,
    )  # fmt: skip
    quantiles = ColumnDataSource({name: [] for name in ("x0", "x1", "y0", "y1")})
    plot.segment("x0", "y0", "x1", "y1", source=quantiles, line_color="#d81b60", line_width=2)
    return plot, shade, quantiles

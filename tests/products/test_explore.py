"""The page to explore stars by hand: one file, and in a real browser a star chosen in one place is chosen in all."""

import asyncio
import re

import numpy as np
import pytest
from astropy.table import Table

import redflower
from redflower.errors import InputError
from redflower.products.explore import MOST_STARS, write_explorer
from redflower.quantiles import QUANTILES
from tests.cli.test_commands import run
from tests.helpers.browser import Page, in_browser

N_STARS = 40
#: Colours as people without red, green or blue cones see them.
DEFICIENCIES = ("protanopia", "deuteranopia", "tritanopia")


def made_posteriors(n_stars: int = N_STARS, *, density: bool = True) -> Table:
    """Posteriors that are normal in (E, distance modulus), without an inference."""
    rng = np.random.default_rng(8)
    ebv, modulus = rng.uniform(0.0, 0.3, n_stars), rng.uniform(8.0, 11.0, n_stars)
    distance = 10 ** (1 + modulus / 5)
    table = Table({"source_id": np.int64(5_000_000_000_000_000_001) + np.arange(n_stars, dtype=np.int64)})
    table["ebv_mean"], table["ebv_std"] = ebv, np.full(n_stars, 0.03)
    table["distance_mean"], table["distance_std"] = distance, 0.1 * distance
    for name, level in QUANTILES.items():
        off = {0.05: -1.64, 0.16: -1.0, 0.5: 0.0, 0.84: 1.0, 0.95: 1.64}[level]
        table[f"ebv_{name}"], table[f"distance_{name}"] = ebv + 0.03 * off, distance * (1 + 0.1 * off)
    table["l"], table["b"] = rng.uniform(359.0, 361.0, n_stars) % 360.0, rng.uniform(40.0, 42.0, n_stars)
    table["status"], table["flags"] = np.full(n_stars, "ok"), np.zeros(n_stars, dtype=np.int64)
    table["bands"] = np.full(n_stars, "G BP RP g r i z y")
    for name, value in (("gaia_g", 15.0), ("gaia_bp", 15.4), ("gaia_rp", 14.5)):
        table[name] = value + rng.normal(0.0, 0.3, n_stars)
    if density:
        nodes_e, nodes_mu = np.linspace(-3, 3, 22), np.linspace(-3, 3, 16)
        log = -0.5 * (nodes_mu[:, None] ** 2 + nodes_e**2)
        table["density"] = np.repeat(np.rint(-log / 0.1).astype(np.uint8)[None], n_stars, axis=0)
        table["density_ebv_start"], table["density_ebv_step"] = ebv - 0.09, np.full(n_stars, 0.18 / 21)
        table["density_modulus_start"], table["density_modulus_step"] = (
            modulus - 0.6,
            np.full(n_stars, 1.2 / 15),
        )
    return table


@pytest.fixture(scope="module")
def posteriors() -> Table:
    return made_posteriors()


@pytest.fixture(scope="module")
def page_file(posteriors, tmp_path_factory):
    path = tmp_path_factory.mktemp("explore") / "stars.html"
    assert write_explorer(posteriors, path, title="Stars <of> a test") == N_STARS
    return path


def test_the_page_is_one_file_that_needs_no_network(page_file) -> None:
    text = page_file.read_text()
    assert "Stars &lt;of&gt; a test" in text
    assert not re.search(r"<(script|link|img|iframe)[^>]+(src|href)=['\"]?(https?:|//)", text)
    # Bokeh itself has 1.7 MB; a star with its density some hundred bytes more.
    assert len(text) < 2.1e6
    assert "none came with these stars" in text, "of the verdict"


def test_a_choice_of_many_stars_is_shown_and_said(tmp_path) -> None:
    many = made_posteriors(MOST_STARS + 10, density=False)
    many["status"] = ["not_converged"] * 5 + ["ok"] * (len(many) - 5)
    path = tmp_path / "many.html"
    assert write_explorer(many, path, title="many") == MOST_STARS
    assert (
        f"{MOST_STARS:,} of {MOST_STARS + 5:,} usable stars, taken at random of {MOST_STARS + 10:,} rows"
        in path.read_text()
    )


def test_tables_that_hold_no_posteriors_are_refused(posteriors, tmp_path, capsys, monkeypatch) -> None:
    with pytest.raises(InputError, match="it lacks ebv_q05"):
        write_explorer(posteriors["source_id", "ebv_mean", "ebv_std"], tmp_path / "p.html", title="")
    none = posteriors.copy()
    none["status"] = np.full(N_STARS, "failed")
    with pytest.raises(InputError, match="none of 40 stars can be used"):
        write_explorer(none, tmp_path / "p.html", title="")
    table = redflower.write_table(posteriors, tmp_path / "p.parquet")
    assert run(capsys, monkeypatch, "explore", table, tmp_path / "p.txt")[0] == 2
    code, _, said = run(capsys, monkeypatch, "explore", table, tmp_path / "p.html")
    assert code == 0
    assert "40 stars are in" in said
    assert run(capsys, monkeypatch, "explore", table, tmp_path / "p.html")[0] == 2
    assert run(capsys, monkeypatch, "explore", table, tmp_path / "p.html", "--overwrite")[0] == 0


_SHOWN = "document.getElementById('star').innerText"
_DOCUMENT = "Bokeh.documents[0]"
#: Where a star of the first plot is in the window: from data to screen by the plot's own view.
_PLACE = """(() => {{
  const view = Object.values(Bokeh.index.roots ?? [...Bokeh.index]).flat().find((v) => v.model.title?.text == "{title}")
  const stars = {document}.get_model_by_name("stars").data
  const frame = view.frame_view ?? view.frame, box = view.el.getBoundingClientRect()
  const at = (frame.bbox ?? view.frame.bbox), k = {k}
  return [box.x + frame.x_scale.compute(stars["{x}"][k]), box.y + frame.y_scale.compute(stars["{y}"][k])]
}})()"""


def test_a_star_is_chosen_by_click_by_name_by_address_and_by_keyboard(posteriors, page_file) -> None:
    async def work(page: Page) -> None:
        ids = [str(i) for i in posteriors["source_id"]]
        await page.open(page_file.as_uri() + f"#star={ids[7]}")
        await page.until(f"{_SHOWN}.includes('{ids[7]}')")
        shown = await page.value(_SHOWN)
        assert f"{posteriors['ebv_mean'][7]:.3f} ± 0.030 mag" in shown
        assert f"{posteriors['ebv_q05'][7]:.3f} and {posteriors['ebv_q95'][7]:.3f} mag" in shown
        # The density that is drawn peaks where the posterior does, and holds what the table holds.
        peak = await page.value(
            f"""(() => {{
              const shade = [...{_DOCUMENT}._all_models.values()].find((m) => m.data?.alpha).data
              const best = shade.alpha.indexOf(Math.max(...shade.alpha))
              return [(shade.bottom[best] + shade.top[best]) / 2, Math.sqrt(shade.left[best] * shade.right[best])]
            }})()"""
        )
        # Half a cell of the grid: 0.0043 mag, and 0.04 mag of distance modulus, 2 % of the distance.
        assert peak[0] == pytest.approx(posteriors["ebv_mean"][7], abs=0.0045)
        assert peak[1] == pytest.approx(posteriors["distance_mean"][7], rel=0.021)
        for title, x, y in (("E(B-V) against distance", "x", "y"), ("Colour and magnitude", "colour", "g")):
            k = _lonely(posteriors, x, y)
            place = _PLACE.format(title=title, document=_DOCUMENT, k=k, x=x, y=y)
            await page.value("window.scrollTo(0, 1e4)")
            await _settled(page, place)
            await page.click(*(await page.value(place)))
            await page.until(f"{_SHOWN}.includes('{ids[k]}')")
            assert await page.value(f"{_DOCUMENT}.get_model_by_name('stars').selected.indices") == [k]
            assert (await page.value("location.hash")) == f"#star={ids[k]}"
        # By keyboard alone: to the button "next star" and on it.
        await page.value("window.scrollTo(0, 0); document.activeElement.blur()")
        for _ in range(12):
            await page.press("Tab", 9)
            if await page.value(_FOCUSED) == "next star":
                break
        assert await page.value(_FOCUSED) == "next star"
        await page.press("Enter", 13, "\r")
        await page.until(f"{_SHOWN}.includes('{ids[(k + 1) % N_STARS]}')")
        assert page.errors == []

    in_browser(work)


async def _settled(page: Page, place: str) -> None:
    """Wait until a star stands still in the window, and a further click is not the second of a double one."""
    before: list[float] = []
    while (now := await page.value(place)) != before:
        before = now
        await asyncio.sleep(0.6)


_FOCUSED = """(() => {
  let at = document.activeElement
  while (at?.shadowRoot?.activeElement) at = at.shadowRoot.activeElement
  return at?.textContent ?? ""
})()"""


def _lonely(posteriors: Table, x: str, y: str) -> int:
    """Return the star that is furthest from all others in a plot, so that a click hits it alone."""
    if x == "x":
        place = np.log(np.asarray(posteriors["distance_mean"])), np.asarray(posteriors["ebv_mean"])
    else:
        place = np.asarray(posteriors["gaia_bp"] - posteriors["gaia_rp"]), np.asarray(posteriors["gaia_g"])
    scaled = np.stack([(v - v.mean()) / v.std() for v in place], axis=1)
    apart = np.hypot(*(scaled[:, None] - scaled).T)
    np.fill_diagonal(apart, np.inf)
    return int(apart.min(axis=0).argmax())


def test_the_page_fits_a_phone_and_its_choice_is_seen_without_colour(posteriors, page_file, tmp_path) -> None:
    from matplotlib.image import imread

    async def work(page: Page) -> None:
        star = posteriors["source_id"][3]
        await page.open(page_file.as_uri() + f"#star={star}", width=390, height=844, mobile=True)
        await page.until(f"{_SHOWN}.includes('{star}')")
        assert await page.value("document.documentElement.scrollWidth") <= 390
        await page.until(
            "[...document.querySelectorAll('.plots > div')].every((d) => d.firstElementChild?.clientWidth > 300)"
        )
        await page.open(page_file.as_uri())
        await page.until(
            "document.querySelectorAll('.plots > div').length == 4 && Bokeh.documents[0].is_idle"
        )
        for vision in ("none", *DEFICIENCIES):
            await page.send("Emulation.setEmulatedVisionDeficiency", type=vision)
            pictures = []
            for chosen in ("[]", "[3]"):
                await page.value(f"{_DOCUMENT}.get_model_by_name('stars').selected.indices = {chosen}; 0")
                await page.value("window.scrollTo(0, document.querySelector('.plots').offsetTop)")
                await asyncio.sleep(0.4)
                path = tmp_path / f"{vision}{len(pictures)}.png"
                await page.picture(path, whole=False)
                pictures.append(imread(path)[..., :3].mean(axis=2))
            # The ring differs in lightness, not in hue alone: a tenth of full scale in at least its some hundred pixels.
            assert (np.abs(pictures[1] - pictures[0]) > 0.1).sum() > 100, vision

    in_browser(work)

"""`redflower demo`: the whole line, offline, on a mock sightline."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from redflower.cli.progress import counter, say
from redflower.files import check_new_folder
from redflower.provenance import META_KEY

if TYPE_CHECKING:
    import numpy as np
    from astropy.table import Table

    from redflower.sightline import Profile

MODEL = "mock-sky"
N_STARS = 400
#: Largest number of clouds that the fit compares.
MAX_CLOUDS = 3
SEED = 7
SHOWN_ROWS = 5
CLOUDS = ((370.0, 0.12), (1500.0, 0.08))
#: Bins are kept clear of the clouds by this share of their distance: distances are uncertain.
CLEARANCE = 0.15
PROFILE_EDGES_PC = (100, 200, 320, 430, 600, 850, 1200, 1700, 2400, 3400, 5000, 8000)


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for tables, figures and report.html")] = Path(
        "redflower-demo"
    ),
) -> None:
    """Simulate a two-cloud sightline, infer every star with the shipped model, find the clouds. Offline."""
    import numpy as np

    from redflower.api import infer, sightline
    from redflower.api.statuses import describe_statuses, status_counts, usable_rows
    from redflower.calibrate.verdict import verdict_of
    from redflower.catalogue import QualityLimits, prepare, write_table
    from redflower.flow import load_model
    from redflower.plot import colour_magnitude_figure, reddening_distance_figure
    from redflower.plot.style import save_figure
    from redflower.posterior import InferenceSettings
    from redflower.products import write_sightline
    from redflower.products.page import write_page
    from redflower.products.words_clouds import clouds_sentence
    from redflower.simulate import simulate_stars

    check_new_folder(out)
    model = load_model(MODEL)
    out.mkdir(exist_ok=True)
    bright_mag, faint_mag = model.g_bright_mag, model.g_faint_mag
    say(f"simulating {N_STARS} stars towards l, b = 104.1, +22.3 deg behind clouds at 370 and 1500 pc ...")
    raw = simulate_stars(
        N_STARS, seed=SEED, preset="two-cloud", clouds=CLOUDS, g_bright_mag=bright_mag, g_faint_mag=faint_mag
    )
    write_table(raw, out / "stars.fits")
    prepared = prepare(raw, purpose="inference", limits=QualityLimits(bright_mag, faint_mag))
    write_table(prepared.table, out / "prepared.fits")
    with counter("stars inferred", len(prepared.table)) as progress:
        posteriors = infer(prepared.table, model, settings=InferenceSettings(density=True), progress=progress)
    write_table(posteriors, out / "posteriors.fits")
    write_table(posteriors[[n for n in posteriors.colnames if n != "density"]], out / "posteriors.ecsv")
    with counter("cloud models fitted", MAX_CLOUDS + 2) as progress:
        clouds = sightline(
            posteriors, max_clouds=MAX_CLOUDS, seed=SEED, prepared=prepared.table, progress=progress
        )
    write_sightline(clouds, out / "clouds")

    good = posteriors[usable_rows(posteriors)]
    profile = binned_posteriors(good, np.array(PROFILE_EDGES_PC, dtype=float))
    summary = f"{found(good, posteriors)} {clouds_sentence(clouds.summary)}"
    dust = reddening_distance_figure(posteriors, profile, CLOUDS)
    diagram = colour_magnitude_figure(prepared.table, posteriors)
    for name, figure in (("reddening-distance", dust), ("colour-magnitude", diagram)):
        for ending in ("png", "pdf"):
            save_figure(figure, out / f"{name}.{ending}")
    rows = [
        (f"{low:.0f} - {high:.0f}", f"{n}", f"{mean:.3f}", f"{error:.3f}")
        for low, high, n, mean, error in zip(
            profile.edges_pc[:-1], profile.edges_pc[1:], profile.n_stars, profile.ebv_mag, profile.ebv_error_mag,
            strict=True,
        )
        if n
    ]  # fmt: skip
    write_page(
        out / "report.html",
        title="redflower demo: two dust clouds on one sightline",
        summary=summary,
        verdict=verdict_of(posteriors.meta[META_KEY]),
        figures=[
            ("Posterior mean reddening against distance of every star.", dust),
            ("Observed colour-magnitude diagram of the stars.", diagram),
        ],
        tables=[
            ("Clouds", ("distance [pc]", "68 %", "E(B-V) [mag]", "68 %"), cloud_rows(clouds.summary)),
            ("Mean reddening", ("distance [pc]", "stars", "E(B-V) [mag]", "error [mag]"), rows),
            ("Status", ("status", "stars"), [(w, str(n)) for w, n in status_counts(posteriors).items()]),
        ],
        provenance=posteriors.meta[META_KEY],
    )
    for line in describe_statuses(status_counts(posteriors)):
        say(line)
    shown = posteriors["source_id", "ebv_mean", "ebv_std", "distance_mean", "distance_std", "status"][
        :SHOWN_ROWS
    ]
    for name in ("ebv_mean", "ebv_std"):
        shown[name].info.format = ".3f"
    for name in ("distance_mean", "distance_std"):
        shown[name].info.format = ".0f"
    typer.echo("\n".join([f"The first {SHOWN_ROWS} rows of posteriors.ecsv:", *shown.pformat()]))
    typer.echo(summary)
    say(f"tables, figures and report.html are in {out}; the cloud fit has its own page in {out / 'clouds'}")


def cloud_rows(numbers: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return the clouds of the most probable number as rows of text."""
    return [
        (
            f"{c['distance_pc_q50']:.0f}",
            f"{c['distance_pc_q16']:.0f} - {c['distance_pc_q84']:.0f}",
            f"{c['ebv_mag_q50']:.3f}",
            f"{c['ebv_mag_q16']:.3f} - {c['ebv_mag_q84']:.3f}",
        )
        for c in numbers["clouds"][str(numbers["most_probable_number"])]
    ]


def binned_posteriors(posteriors: "Table", edges_pc: "np.ndarray") -> "Profile":
    """Return the binned profile of a table of posteriors with densities."""
    import numpy as np

    from redflower.api.posteriors import ebv_prior_mag
    from redflower.posterior import joint_density
    from redflower.sightline import binned_profile

    distance_pc = np.asarray(posteriors["distance_mean"], dtype=float)
    return binned_profile(joint_density(posteriors), ebv_prior_mag(posteriors), distance_pc, edges_pc)


def found(good: "Table", posteriors: "Table") -> str:
    """Return the sentence that says what the stars show, beside what was simulated."""
    import numpy as np

    (near_pc, near_mag), (far_pc, far_mag) = CLOUDS
    edges = [10.0, near_pc * (1 - CLEARANCE), near_pc * (1 + CLEARANCE), far_pc * (1 - CLEARANCE)]
    edges += [far_pc * (1 + CLEARANCE), 1e5]
    profile = binned_posteriors(good, np.array(edges))
    levels = [f"{profile.ebv_mag[k]:.3f} ± {profile.ebv_error_mag[k]:.3f}" for k in (0, 2, 4)]
    steps = np.diff(profile.ebv_mag[[0, 2, 4]])
    return (
        f"Of {len(posteriors)} stars {len(good)} are usable. "
        f"Their mean E(B-V) is {levels[0]} mag in front of "
        f"both clouds, {levels[1]} mag between them and {levels[2]} mag behind them: steps of {steps[0]:.3f} and "
        f"{steps[1]:.3f} mag, where {near_mag:.3f} mag at {near_pc:.0f} pc and {far_mag:.3f} mag at {far_pc:.0f} pc "
        "were simulated."
    )

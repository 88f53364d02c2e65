"""Are posteriors of stars drawn from the model's own prior calibrated? Ranks, random regions, cells, the mean posterior.

    python -m benchmarks.validation.simulated_stars [--simulations 2000] [--model mock-sky] [--record simulated-stars]

Positions, errors and bands are those of mock stars with G < 18.3 that the model has not seen. A minute or two on two cores.
"""

import argparse

from benchmarks.model_surveys import further_surveys
from benchmarks.results import recording, say, table

import redflower
from redflower.plot.ranks import cell_name
from redflower.posterior import InferenceSettings
from redflower.products.page_validation import flagged_cells, simulations_sentence

SEED = 91
#: Goals: of the random regions' largest deviation, and of the furthest cell from 68 %.
TARP_DEVIATION, CELL_DEVIATION = 0.02, 0.05


def main(n_simulations: int, model: str) -> None:
    """Draw, infer and judge."""
    surveys = further_surveys(redflower.load_model(model))
    sky = redflower.simulate(3000, seed=SEED, preset="high-latitude", g_faint_mag=18.3, surveys=surveys)
    stars = redflower.prepare(sky, purpose="inference").table
    checked = redflower.check_by_simulations(
        stars, model, n_simulations=n_simulations, settings=InferenceSettings(seed=SEED)
    )
    say(f"{simulations_sentence(checked)} The furthest of the cells by its errors is named.")
    rows = table(
        {
            "ranks of": "",
            "stars": ",",
            "largest deviation": ".4f",
            "95 % band": ".3f",
            "inside": "",
            "inside 68 %": ".3f",
        }
    )
    for name, one in checked["ranks"].items():
        rows.row(
            name, one["n"], one["deviation"], one["band"], "yes" if one["inside"] else "no", one["inside_68"]
        )
    regions, averaged = checked["ranks"]["random regions"], checked["data_averaged"]
    say(
        f"Random regions (TARP) deviate by {regions['deviation']:.4f}, where the goal is {TARP_DEVIATION}. The mean posterior of "
        f"E(B-V) is at most {averaged['worst']:.1f} standard errors from the prior, in eleven cells."
    )
    cells = sorted(checked["cells"], key=lambda c: -abs(c["inside_68"] - 0.68))
    beyond = [c for c in cells if abs(c["inside_68"] - 0.68) > CELL_DEVIATION]
    biased = [c for c in cells if abs(c["residual_mean"]) > 0.01]
    flagged = [cell_name(c) for c in flagged_cells(checked)]
    say(
        f"Of {len(cells)} cells of at least 100 stars, {len(beyond)} hold the truth in their 68 % intervals more than "
        f"{CELL_DEVIATION} too seldom or too often, and {len(biased)} have a mean residual beyond 0.01 mag. Flagged, beyond "
        f"chance: {', '.join(flagged) or 'none'}. The five furthest:"
    )
    rows = table(
        {
            "cell": "",
            "stars": ",",
            "inside 68 %": ".3f",
            "by chance": ".3f",
            "mean residual [mag]": "+.4f",
            "error": ".4f",
        }
    )
    for c in cells[:5]:
        rows.row(cell_name(c), c["n"], c["inside_68"], c["error"], c["residual_mean"], c["residual_error"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--model", default="mock-sky")
    parser.add_argument("--record", default="simulated-stars", help="name of the results file")
    arguments = parser.parse_args()
    with recording(arguments.record, seed=SEED):
        main(arguments.simulations, arguments.model)

"""The commands that do a run by hand."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from redflower.catalogue import DistancePrior
from redflower.flow import Model
from redflower.products.run import CLOUDS, CUTS, LEFT_OUT, MAP, POSTERIORS, STARS
from redflower.scale.run_request import Request


@dataclass(frozen=True)
class Commands:
    """The commands that do a run by hand, as a user types them."""

    out: Path
    table: str
    model: str
    seed: int

    def prepare(self, model: Model, request: Request, *, cut: bool) -> str:
        """Return the command that prepares the stars; ``cut`` says whether it cuts any."""
        given = {
            "--columns": request.columns,
            "--photometry": request.photometry,
            "--ebv-map": request.ebv_map,
        }
        options = [
            part for option, value in given.items() if value is not None for part in (option, str(value))
        ]
        options += ["--zero-point", str(request.zero_point)] if request.zero_point != "auto" else []
        options += ["--keep-first"] if request.duplicates == "keep_first" else []
        options += ["--keep", ",".join(request.keep)] if request.keep else []
        options += ["--left-out", str(self.out / LEFT_OUT)] if cut else []
        return _line(
            "prepare", self.table, self.out / STARS, "--for", "inference", "--g-bright", f"{model.g_bright_mag:g}", "--g-faint",
            f"{model.g_faint_mag:g}", *options, "--report", self.out / CUTS,
        )  # fmt: skip

    def infer(self, distance_prior: "DistancePrior | str | Path | None") -> str:
        """Return the command that infers them."""
        named = distance_prior.name if isinstance(distance_prior, DistancePrior) else distance_prior
        prior = [] if named is None else ["--distance-prior", named]
        return _line(
            "infer",
            self.out / STARS,
            self.out / POSTERIORS,
            "--model",
            self.model,
            "--density",
            *prior,
            *self._seed,
        )

    def sightline(self) -> str:
        """Return the command that finds the clouds."""
        return _line(
            "sightline", self.out / POSTERIORS, self.out / CLOUDS, "--stars", self.out / STARS, *self._seed
        )

    def sky_map(self, nside: int) -> str:
        """Return the command that maps the sky."""
        return _line("map", self.out / POSTERIORS, self.out / MAP, "--nside", nside, *self._seed)

    @property
    def _seed(self) -> list[str]:
        return ["--seed", str(self.seed)] if self.seed else []


def _line(*parts: object) -> str:
    return shlex.join(["redflower", *map(str, parts)])

"""A trained flow with everything that inference needs of it, and its parts as arrays and JSON, never code."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

import equinox as eqx
import jax
import numpy as np

from redflower.band import band_from_spec
from redflower.bands import STANDARD, BandSet
from redflower.cards import card, line
from redflower.errors import ModelError
from redflower.flow.bnaf import BlockAutoregressiveNetwork
from redflower.flow.conditional import ConditionalFlow
from redflower.flow.coverage import N_CELLS, Coverage
from redflower.flow.emulator import Emulator, empty_emulator
from redflower.flow.emulator_networks import EmulatorStructure
from redflower.flow.standardise import Standardisation
from redflower.photometric_scales import PhotometricScale, recorded_scale
from redflower.physics import (
    ExtinctionLaw,
    SelectionFunction,
    make_law,
    selection_from_parts,
    selection_to_parts,
)

FORMAT = "redflower-model"
#: 6 with other bands than the standard ones; else 5 with a photometric scale, to which stars are moved; else 4 with an emulator,
#: whose outputs were in another order before; else 3 with a selection function, else 2: older versions of redflower must not take
#: for theirs what they would misread.
FORMAT_VERSION = 6
SELECTION_KEY = "selection/"


#: Networks of more layers, or of more units in a layer, are taken for damage: their masks would take a gigabyte.
MOST_LAYERS, MOST_UNITS = 16, 2048


@dataclass(frozen=True, repr=False)
class Model:
    """A trained flow with all that belongs to it.

    Attributes
    ----------
    name : what the model is called, for instance ``mock-sky``.
    description : one sentence on what it was trained on and what it is good for.
    flow : the conditional density of dust-free stars.
    law : the extinction law with which synthetic and inferred reddening are meant. Its bands begin with the model's.
    g_bright_mag, g_faint_mag : limits of the training sample in apparent G. [mag]
    coverage : where in (R, Z) it had stars.
    emulator : density of noisy stars distilled from the flow, for the fast engine; None without one.
    selection : selection function of the training sample, which inference uses as well; None where it is 1.
    photometry : photometric scale of its stars; None for a model of redflower 0.1, which stated none.
    distance_prior : name and checksum of the distance prior it was trained with, and ``g_limit_mag`` where that prior is of the
        stars to a limit in G (docs/explanation/model.md, E13b).
    config : the training configuration, resolved.
    provenance : versions, input checksum, sample size, evidence reached.
    """

    name: str
    description: str
    flow: ConditionalFlow
    law: ExtinctionLaw
    g_bright_mag: float
    g_faint_mag: float
    coverage: Coverage
    emulator: Emulator | None = None
    selection: SelectionFunction | None = None
    photometry: PhotometricScale | None = None
    distance_prior: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return line("model", self._facts())

    def _repr_html_(self) -> str:
        return card(f"Model {self.name}", [*self._facts(), ("description", self.description)])

    def _facts(self) -> list[tuple[str, str]]:
        limits = f"{self.g_bright_mag:g} to {self.g_faint_mag:g} mag"
        engine = "yes" if self.emulator is not None else "no"
        return [
            ("id", self.model_id),
            ("bands", " ".join(self.band_names)),
            ("G", limits),
            ("fast engine", engine),
        ]

    def with_law(self, law: ExtinctionLaw) -> "Model":
        """Return the same model with another extinction law: the flow is of stars without dust, and knows none.

        Parameters
        ----------
        law : such as `redflower.ConstantLaw`. The model's identifier changes with it.

        Examples
        --------
        >>> import redflower
        >>> model = redflower.load_model("mock-sky").with_law(redflower.ConstantLaw([1.0] * 11))
        >>> model.law.name
        'constant'
        """
        return replace(self, law=law.of_bands(self.star_bands))

    @property
    def n_bands(self) -> int:
        return self.flow.n_bands

    @property
    def bands(self) -> BandSet:
        """The bands of the flow, in its order."""
        return self.law.bands.leading(self.n_bands)

    @property
    def star_bands(self) -> BandSet:
        """The bands that arrays of stars must have for this model: its own, and perhaps more behind them."""
        return self.law.bands

    @property
    def band_names(self) -> tuple[str, ...]:
        return self.bands.names

    def scale(self) -> PhotometricScale:
        """Return the photometric scale of the model.

        Raises
        ------
        ModelError : the model states none.
        """
        if self.photometry is None:
            raise ModelError(
                f"model {self.name!r} does not state the photometric scale of its training stars, so that it cannot be told "
                "whether it fits a table's magnitudes. Train it again, or state the scale once, in Python: "
                "save_model(dataclasses.replace(load_model(PATH), photometry=make_scale('ps1=archive,gaia=dr3')), NEW_PATH), "
                "with make_scale from redflower.photometric_scales."
            )
        return self.photometry

    @property
    def model_id(self) -> str:
        """Name and a digest of every array and setting: two models with one id are the same model."""
        arrays, header = model_to_parts(self)
        digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
        for key in sorted(arrays):
            digest.update(key.encode() + arrays[key].tobytes())
        return f"{self.name}-{digest.hexdigest()[:10]}"


def _arrays_of(model: Model) -> tuple[Any, ...]:
    parts = (model.flow, model.coverage)
    return parts if model.emulator is None else (*parts, model.emulator)


def _version_of(model: Model) -> int:
    if model.star_bands != STANDARD:
        return FORMAT_VERSION
    if model.photometry is not None:
        return 5
    if model.emulator is not None:
        return 4
    return 3 if model.selection is not None else 2


def _structure_of(sizes: dict[str, int]) -> EmulatorStructure:
    """Return the sizes of an emulator; before format 4 the denoiser's were those of the density."""
    before = {"denoiser_hidden": sizes["hidden"], "denoiser_layers": sizes["layers"]}
    return EmulatorStructure(**(before | sizes))


def _check_sizes(*sizes: dict[str, Any] | None) -> None:
    """Refuse sizes of networks that no file has room for, before anything is made of them."""
    for name, size in ((name, size) for one in sizes if one is not None for name, size in one.items()):
        most = MOST_LAYERS if name in ("depth", "layers", "denoiser_layers") else MOST_UNITS
        if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= most:
            raise ValueError(f"{name} is {size!r:.40}, and must be a whole number from 1 to {most}")


def _reordered(
    arrays: dict[str, np.ndarray], structure: EmulatorStructure, n_bands: int
) -> dict[str, np.ndarray]:
    """Reorder a file's arrays from before format 4: the emulator's outputs are now kind, component, band.

    They were band by band, then by component, then by kind.
    """
    order = np.arange(3 * structure.components * (n_bands - 1))
    order = order.reshape(n_bands - 1, structure.components, 3).transpose(2, 1, 0).ravel()
    names = [f"[2].density.{kind}[{structure.layers}]" for kind in ("weights", "biases")]
    return arrays | {name: arrays[name][order] for name in names}


def model_to_parts(model: Model) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of a model, and the header that says the rest."""
    leaves = jax.tree_util.tree_leaves_with_path(eqx.filter(_arrays_of(model), eqx.is_array))
    arrays = {jax.tree_util.keystr(path): np.array(leaf, order="C") for path, leaf in leaves}
    selection = None
    if model.selection is not None:
        parts, selection = selection_to_parts(model.selection)
        arrays |= {SELECTION_KEY + key: np.array(part, order="C") for key, part in parts.items()}
    network = model.flow.network
    header = {
        "format": FORMAT,
        "format_version": _version_of(model),
        "name": model.name,
        "description": model.description,
        "bands": list(model.band_names),
        "network": {"cond_dim": 2, "depth": network.depth, "block_dim": network.block_dim},
        "emulator": None if model.emulator is None else model.emulator.structure._asdict(),
        "law": model.law.to_spec(),
        "g_bright_mag": model.g_bright_mag,
        "g_faint_mag": model.g_faint_mag,
        "distance_prior": model.distance_prior,
        "config": model.config,
        "provenance": model.provenance,
    }
    if model.star_bands != STANDARD:
        header["band_set"] = model.star_bands.as_spec()
    if selection is not None:
        header["selection"] = selection
    if model.photometry is not None:
        header["photometry"] = model.photometry.as_dict()
    return arrays, header


def model_from_parts(arrays: dict[str, np.ndarray], header: dict[str, Any]) -> Model:
    """Make a model from its parts, of this format or an earlier one.

    Raises
    ------
    KeyError, TypeError, ValueError : something is absent, of another shape, or not finite.
    """
    star_bands = _star_bands(header)
    dim = len(header["bands"])
    emulator = header.get("emulator")  # version 1 had none
    _check_sizes(header["network"], emulator)
    structure = None if emulator is None else _structure_of(emulator)
    if structure is not None and header["format_version"] < 4:
        arrays = _reordered(arrays, structure, dim)
    template = eqx.filter_eval_shape(lambda: _template(dim, structure, **header["network"]))
    paths, tree = jax.tree_util.tree_flatten_with_path(template)
    leaves = []
    for path, shape in paths:
        array = arrays[jax.tree_util.keystr(path)]
        if array.shape != shape.shape or not np.isfinite(array).all():
            raise ValueError(
                f"array {jax.tree_util.keystr(path)} has shape {array.shape} (expected {shape.shape}) or "
                "values that are not finite"
            )
        leaves.append(jax.device_put(array))
    flow, coverage, *rest = jax.tree_util.tree_unflatten(tree, leaves)
    selection = header.get("selection")  # version 2 has none
    if selection is not None:
        start = len(SELECTION_KEY)
        parts = {k[start:]: array for k, array in arrays.items() if k.startswith(SELECTION_KEY)}
        selection = selection_from_parts(parts, selection)
    stated = header.get("photometry")  # redflower 0.1 stated none
    keys = ("name", "description", "g_bright_mag", "g_faint_mag", "distance_prior", "config", "provenance")
    return Model(
        flow=flow,
        coverage=coverage,
        emulator=rest[0] if rest else None,
        selection=selection,
        law=make_law(header["law"], star_bands),
        photometry=None if stated is None else recorded_scale(stated),
        **{key: header[key] for key in keys},
    )


def _star_bands(header: dict[str, Any]) -> BandSet:
    """Return the bands of a file's law, with which those of its flow begin: those it describes, else the standard ones."""
    names, described = header["bands"], header.get("band_set")
    bands = STANDARD if described is None else BandSet(tuple(map(band_from_spec, described)))
    expected = list(bands.leading(len(names)).names)
    if names != expected:
        raise ValueError(f"bands {names} are not in the order {expected}")
    return bands


def _template(
    dim: int, emulator: EmulatorStructure | None, *, cond_dim: int, depth: int, block_dim: int
) -> tuple[Any, ...]:
    zeros = jax.numpy.zeros
    network = BlockAutoregressiveNetwork(
        jax.random.key(0), dim=dim, cond_dim=cond_dim, depth=depth, block_dim=block_dim
    )
    standardisation = Standardisation(
        x_mean=zeros(dim),
        x_inverse_cholesky=zeros((dim, dim)),
        condition_mean=zeros(cond_dim),
        condition_std=zeros(cond_dim),
    )
    coverage = Coverage(zeros(N_CELLS + 1), zeros(N_CELLS + 1), zeros((N_CELLS, N_CELLS)))
    parts = (ConditionalFlow(network, standardisation), coverage)
    return parts if emulator is None else (*parts, empty_emulator(dim, emulator))

"""The model that a fit starts from, where one is given: of another run, or of this one, stopped at max_iter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import Config
from ..core.em.fitted_model import Model
from ..core.mixture.covariance import same_family
from ..core.options.fit import ModelOptions
from ..errors import ConfigurationError, DataError
from ..events import Listener, Notice
from ..filesystem.location import resolve_location
from ..fitting.fit import Start
from ..sources import Source
from ..storage.formats.model import load_model
from ..storage.run.directory import RunDirectory
from .resume import find_stopped_fit


@dataclass(frozen=True, eq=False)
class SavedModel:
    """A model of a run directory, to start from."""

    model: Model
    path: str  # where it was found
    continues: bool = False  # whether this very run is continued: its M-steps count


def find_saved_model(config: Config, directory: RunDirectory, listen: Listener, *, resume: bool) -> SavedModel | None:
    """Return the model that the configuration names, or that of a run that stopped at a smaller max_iter, if any."""
    if resume and (before := find_stopped_fit(directory, config)) is not None:
        listen(Notice(f"going on from where the fit stopped, after {before.summary.n_iter} M-steps"))
        return SavedModel(before, config.output.directory, continues=True)
    if config.fit.start is None:
        return None
    try:
        return SavedModel(
            load_model(resolve_location(config.fit.start, config.output.storage_options)), config.fit.start
        )
    except DataError as error:
        raise ConfigurationError(f"fit.start: {error}") from None


def start_from(saved: SavedModel | None, options: ModelOptions, source: Source) -> Start:
    """Choose the start of the fit: the saved model, if there is one that fits the options and the source."""
    if saved is None:
        return Start()
    n_columns = 1 if len(source.array.shape) == 1 else source.array.shape[-1]
    _check_saved_model(saved.model, options, n_columns, source.feature_names)
    n_before = saved.model.summary.n_iter if saved.continues else 0
    origin = f"the model of {saved.path}"
    return Start(saved.model.state, n_before, origin, projection=saved.model.projection)


def _principal_components(model: Model, options: ModelOptions) -> tuple[object, object]:
    """Return the numbers of components in the model and asked for, None without any; by share, the model's number."""
    there = None if model.projection is None else model.projection.n_features
    if options.reduce is None:
        return there, None
    return there, options.reduce.features or there or "some"


def _check_saved_model(model: Model, options: ModelOptions, n_features: int, names: Sequence[str] | None) -> None:
    """Raise ConfigurationError where the model is not of the shape that is fitted."""
    mixture = model.mixture
    differing = [
        f"{name} {there} there and {here} here"
        for name, there, here in (
            ("n_components", mixture.n_components, options.n_components),
            ("covariance_type", mixture.covariance_type, options.family),
            ("features", model.n_features, n_features),
            ("principal components", *_principal_components(model, options)),
            ("noise", mixture.noise is not None, options.noise is not False),
            ("feature names", model.feature_names or names, names or model.feature_names),
        )
        if there != here and not (name == "covariance_type" and same_family(mixture.covariance_type, str(here)))
    ]
    if differing:
        raise ConfigurationError(f"the model to start from is another: {'; '.join(differing)}")

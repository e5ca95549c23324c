"""The model that a fit starts from, where one is given: of another run, or of this one, stopped at max_iter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import Config
from ..core.em.fitted_model import Model
from ..core.em.loop import Trial
from ..core.mixture.covariance import same_family
from ..core.mixture.floor import Floor
from ..core.mixture.mixture import project
from ..core.options.fit import ModelOptions
from ..errors import ConfigurationError, DataError
from ..events import Listener, Notice
from ..filesystem.location import place
from ..storage.formats.model import load_model
from ..storage.run.directory import RunDirectory
from .resume import stopped_early


@dataclass(frozen=True, eq=False)
class Start:
    """A model to start from."""

    model: Model
    path: str  # where it was found
    continues: bool = False  # whether it is the run that is gone on with: its M-steps count

    def trial(self, floor: Floor | None) -> Trial:
        """Return the trial that begins there."""
        n_before = self.model.summary.n_iter if self.continues else 0
        return Trial(project(self.model.mixture, floor), n_before=n_before)


def start_of(config: Config, directory: RunDirectory, listen: Listener, *, resume: bool) -> Start | None:
    """Return the model that the configuration names, or that of a run that stopped at a smaller max_iter, if any."""
    if resume and (before := stopped_early(directory, config)) is not None:
        listen(Notice(f"going on from where the fit stopped, after {before.summary.n_iter} M-steps"))
        return Start(before, config.output.directory, continues=True)
    if config.fit.start is None:
        return None
    try:
        return Start(load_model(place(config.fit.start, config.output.storage_options)), config.fit.start)
    except DataError as error:
        raise ConfigurationError(f"fit.start: {error}") from None


def check_start(model: Model, options: ModelOptions, n_features: int, names: Sequence[str] | None) -> None:
    """Raise ConfigurationError where the model is not of the shape that is fitted."""
    mixture = model.mixture
    differing = [
        f"{name} {there} there and {here} here"
        for name, there, here in (
            ("n_components", mixture.n_components, options.n_components),
            ("covariance_type", mixture.covariance_type, options.covariance_type),
            ("features", mixture.n_features, n_features),
            ("feature names", model.feature_names or names, names or model.feature_names),
        )
        if there != here and not (name == "covariance_type" and same_family(mixture.covariance_type, str(here)))
    ]
    if differing:
        raise ConfigurationError(f"the model to start from is another: {'; '.join(differing)}")

"""Merge the components of a fitted run into clusters, and write the cluster of each of its rows."""

from __future__ import annotations

from ..config import Config
from ..core.em.fitted_model import Model
from ..core.scoring.merging import Clusters
from ..events import Finished, Listener, ignore
from ..filesystem.location import resolve_location
from ..fitting.checks import check_same_features
from ..fitting.reduction import reduce_rows
from ..observers.mlflow import track
from ..sources import open_source
from ..storage.formats.clusters import write_clusters
from ..storage.run.directory import CLUSTERS, RunDirectory
from ..storage.run.reopening import reopen_damaged
from .fit import check_predictable
from .outputs import results_of
from .plan import plan_fit
from .scoring import with_clusters, write_results
from .session import open_session


def merge(
    config: Config, model: Model, listen: Listener = ignore, *, overwrite: bool = False, resume: bool = False
) -> Clusters:
    """Merge the components of a model by the rows of the configuration; write the clusters to its output directory.

    Parameters
    ----------
    config : Config
        The configuration; `output.clusters` says how many clusters. Row weights count.
    model : Model
        The fitted model. Its features must be those of the data.
    listen : callable
        Called with each event (`daskgmm.events`) of the job; the default ignores them.
    overwrite : bool
        Replace a run that the output directory already holds.
    resume : bool
        Continue where it was interrupted.

    Raises
    ------
    DaskGMMError
        As `daskgmm.jobs.fit.predict` does.
    """
    directory = RunDirectory(resolve_location(config.output.directory, config.output.storage_options))
    check_predictable(directory, config.output)
    with track(config, "merge", listen) as tell, directory.hold_lock(tell):
        if resume:
            reopen_damaged(directory.path, tell)
        directory.check_writable(overwrite, resume)
        source = open_source(config.data)
        check_same_features(source.feature_names, model.feature_names)
        with open_session(plan_fit(config, source), tell) as stored:
            rows = reduce_rows(stored, None, 0, config.compute.persist, tell, model.projection).rows
            clusters = with_clusters(model, None, rows, config.output, tell)
            assert clusters is not None, "output.clusters is set"
            results = results_of(rows, source, model, config, clusters)
            with directory.write_prediction(config.to_yaml(), results.plan, resume, overwrite) as work:
                write_clusters(clusters, model, work.path / CLUSTERS)
                write_results(results, model, work, tell)
        tell(Finished(config.output.directory, {}))
    return clusters

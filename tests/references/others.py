"""Lists of missing values, conditional mixtures, factor analysers, merges and tests of the number of components."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from daskgmm import GaussianMixture
from daskgmm.core.mixture.mixture import Mixture

from .answers import Answer, Folder
from .likelihood import NATS

_NOISES = {
    "by component and feature": "own",
    "one value per component (PPCA)": "isotropic",
    "common to components, by feature": "common",
}


def fitted(mixture: Mixture, **options: Any) -> GaussianMixture:
    """Return a fitted estimator with the parameters of the mixture."""
    model = GaussianMixture(mixture.n_components, covariance_type=mixture.covariance_type, max_iter=0, **options)
    model._set_mixture(mixture)
    return model


def missing(folder: Folder, name: str) -> Iterator[Answer]:
    """EM with missing values from a given start: the log-likelihood there is the same, that of the limit reached.

    So do diagonal covariances, and the limit's parameters impute the same values.
    """
    for fit in folder.fits(name):
        rows, start, title = folder.rows(fit["data"]), fit["start"], f"{fit['data'][5:-4]} full-{fit['k']}"
        n = len(rows)
        levels = _climb(rows, "full", start, np.linalg.inv(start["covariances"]))
        yield Answer(f"{title}, start", -abs(levels[0] * n - fit["loglik_at_start"]), 1e-6)
        yield Answer(title, levels[-1] * n - fit["loglik"], NATS)
        yield Answer(f"{title}, imputed", -_imputation_error(rows, fit), 1e-6)
        diagonal = fit["diag"]
        levels = _climb(rows, "diag", start, 1 / np.array(diagonal["start_variances"]))
        yield Answer(f"{title.replace('full', 'diag')}", levels[-1] * n - diagonal["loglik"], NATS)


def _climb(rows: np.ndarray, covariance_type: str, start: dict[str, Any], precisions: np.ndarray) -> np.ndarray:
    """Return the mean log-likelihoods of EM from a start."""
    model = GaussianMixture(
        len(start["weights"]),
        covariance_type=covariance_type,
        missing="marginal",
        weights_init=start["weights"],
        means_init=start["means"],
        precisions_init=precisions,
        tol=1e-8,
        max_iter=3000,
        resolution=0,
        reg_covar=0,
    )
    return np.array(model.fit(rows).lower_bounds_)


def _imputation_error(rows: np.ndarray, fit: dict[str, Any]) -> float:
    """Return the largest relative error of imputed rows."""
    parameters = [np.array(fit[key]) for key in ("weights", "means", "covariances")]
    model = fitted(Mixture("full", *parameters), missing="marginal")
    numbers = [int(number) for number in fit["imputed"]]
    expected = np.array([one["row"] for one in fit["imputed"].values()])
    return _relative(model.impute(rows[numbers]), expected)


def _relative(values: Any, expected: Any) -> float:
    """Return the largest error, relative to the largest value."""
    expected = np.asarray(expected, float)
    return float(np.abs(np.asarray(values, float) - expected).max() / np.abs(expected).max())


def conditional(folder: Folder, name: str) -> Iterator[Answer]:
    """Expectations of some features given others, and the conditional mixture of a row: the same."""
    for fit in folder.fits(name):
        rows, (file, number) = folder.rows(fit["data"]), fit["model"].split()
        known = folder.read(file)[number]
        parameters = [np.array(known[key], float) for key in ("pro", "mean", "sigma")]
        model, given = fitted(Mixture("full", *parameters), missing="marginal"), fit["given"]
        gaps = rows[fit["rows"]]
        rest = np.setdiff1d(np.arange(rows.shape[1]), given)
        gaps[:, rest] = np.nan
        found, expected = model.condition(given, rows[fit["conditional"]["row"], given]), fit["conditional"]
        errors = [
            _relative(model.impute(gaps)[:, rest], fit["predicted"]),
            _relative(found.weights_, expected["weights"]),
            _relative(found.means_, expected["means"]),
            _relative(found.covariances_, expected["covariances"]),
        ]
        yield Answer(f"{fit['data'][5:-4]} {number} given {given}", -max(errors), 1e-6)


def factor_analysers(folder: Folder, name: str) -> Iterator[Answer]:
    """Mixtures of factor analysers from a given start: the log-likelihood there is the same, the limit is reached."""
    for fit in folder.fits(name):
        rows, start = folder.rows(fit["data"]), {key: np.array(value) for key, value in fit["start"].items()}
        rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
        model = GaussianMixture(
            fit["k"],
            covariance_type="low_rank",
            n_factors=fit["q"],
            factor_noise=_NOISES[fit["noise"]],
            reg_covar=fit["noise_floor"],
            resolution=0,
            tol=1e-9,
            max_iter=6000,
            weights_init=start["weights"],
            means_init=start["means"],
            loadings_init=start["loadings"],
            noise_variance_init=start["noise"],
        ).fit(rows)
        levels, title = np.array(model.lower_bounds_) * len(rows), f"{fit['data'][5:-4]} k={fit['k']} q={fit['q']}"
        title = f"{title} {_NOISES[fit['noise']]}"
        yield Answer(f"{title}, start", -abs(levels[0] - fit["loglik_at_start"]), 1e-6)
        gap = levels[-1] - max(fit["loglik"], fit.get("exact_M_step_loglik", -np.inf))
        gap = gap if model._n_parameters() == fit["df"] else np.nan
        yield Answer(title, gap, NATS, f"{len(levels) - 1} passes")


def merging(folder: Folder, name: str) -> Iterator[Answer]:
    """mclust's clustCombi of a given mixture: the same merges, sizes and number of clusters, and entropies."""
    for fit in folder.fits(name):
        rows = folder.rows(fit["data"])
        model = fitted(Mixture("full", *(np.array(fit[key]) for key in ("pro", "mean", "sigma"))))
        merged = model.merge_components(rows)
        error = _relative(merged.entropies[::-1], fit["entropy_from_G_to_1"])
        clusters = [(component,) for component in range(fit["G"])]
        same = merged.n_clusters == fit["clustCombiOptim_K"]
        for merge, join in zip(merged.tree.merges, fit["joins_from_G"], strict=True):
            first, second = sorted(position - 1 for position in join)
            same &= (merge.first, merge.second) == (clusters[first], clusters[second])
            clusters[first] = merge.cluster
            del clusters[second]
        for n_clusters, sizes in enumerate(fit["labels_by_K"], start=1):
            labels = model.merge_components(rows, n_clusters).predict(rows)
            same &= np.bincount(labels).tolist() == np.atleast_1d(sizes).tolist()
        yield Answer(f"{fit['data'][5:-4]} {fit['model']}-{fit['G']}", -error if same else np.nan, 1e-9)


def bootstrap_lrt(folder: Folder, name: str) -> Iterator[Answer]:
    """mclust's likelihood-ratio statistics of 1, 2, ... components: log-likelihoods above one component's are reached.

    Its p-values are of random resamples, and not compared.
    """
    for fit in folder.fits(name, "tests"):
        rows, expected, levels = folder.rows(f"data/{fit['data']}.csv"), 0.0, []
        for k in range(1, max(fit["G"]) + 2):
            model = GaussianMixture(k, covariance_type=fit["model"], random_state=0, resolution=0)
            levels.append(model.fit(rows).lower_bound_ * len(rows))
        for k, statistic in zip(fit["G"], fit["LRTS"], strict=True):
            expected += statistic / 2
            yield Answer(f"{fit['data']} {k} against {k + 1}", float(levels[k] - levels[0] - expected), NATS)

"""Lists of largest likelihoods from given partitions: families, row weights, noise, labels, priors, bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from daskgmm import GaussianMixture
from daskgmm.core.em.e_step import Expectation
from daskgmm.core.em.inference import MAXIMUM_LIKELIHOOD, Inference
from daskgmm.core.em.loop import EMOptions, State, Trial, iterate
from daskgmm.core.em.priors import MaximumAPosteriori, PriorValues
from daskgmm.core.em.variational import Variational, VariationalPrior
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.covariance import STRUCTURES
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.mixture.moments import ComponentMoments
from daskgmm.core.mixture.noise import Noise
from daskgmm.errors import DaskGMMError

from .answers import Answer, Folder

NATS = 2e-3  # of a total log-likelihood
_ITERATED = {"VEI", "VEE", "VEV", "EVE", "VVE"}  # mclust stops their M-step before its end
_COMMON_AXES = {"EVE", "VVE"}  # mclust's M-step ends in one of several optima: common_orientation has it converged
_EXACT = {"reg_covar": 0.0, "resolution": 0.0, "tol": 1e-8, "max_iter": 2000}


def families(folder: Folder, name: str) -> Iterator[Answer]:
    """mclust's families from a partition: the log-likelihood after one M-step is the same, the converged one reached.

    The numbers of parameters are equal. EVE and VVE are compared after one M-step in `common_orientation`.
    """
    known = folder.read(f"{name}.json")
    for fit in known["fits"]:
        if fit["loglik"] is not None:  # otherwise mclust found it singular
            yield from _from_partition(folder, {**fit, "data": known["data"], "starts": known["starts"]})


def common_orientation(folder: Folder, name: str) -> Iterator[Answer]:
    """EVE and VVE with converged M-steps, from a partition: one M-step and the limit are reached."""
    for fit in folder.fits(name):
        yield from _from_partition(folder, fit)


def weighted(folder: Folder, name: str) -> Iterator[Answer]:
    """mclust's families on repeated rows: reached by rows with weights."""
    for fit in folder.fits(name):
        yield from _from_partition(folder, fit)


def noise(folder: Folder, name: str) -> Iterator[Answer]:
    """mclust's families with a noise component of a given volume, from a partition: the log-likelihood is reached."""
    for fit in folder.fits(name):
        if fit["loglik"] is not None:
            yield from _from_partition(folder, fit)


def _from_partition(folder: Folder, fit: dict[str, Any]) -> Iterator[Answer]:
    """Check one M-step if it is known, and the limit: by accelerated EM, or by plain EM, or from own starts."""
    rows, k, family = folder.rows(fit["data"]), fit["G"], fit["model"]
    labels = folder.partition(fit["starts"], fit.get("column", f"G{k}"))
    weights = 7 * np.arange(1.0, len(rows) + 1) % 4 if "weights" in fit else None
    title = f"{fit['data'][5:-4]} {family}-{k}"
    sample = in_memory(rows, weights)
    start = mixture_of(rows, labels, family, weights)
    if "Vinv" in fit:
        start = replace(start, noise=Noise(float((labels < 0).mean()), -np.log(fit["Vinv"])))
    step = fit.get("loglik_after_one_mstep")
    if step is not None and not (family in _COMMON_AXES and "df" in fit):
        yield _after_one_step(f"{title}, one M-step", sample, start, step, family)
    gap, note = _limit(sample, start, fit["loglik"])
    if gap < -NATS:
        gap, note = max((gap, note), (own_starts(rows, k, fit, weights) - fit["loglik"], "from own starts"))
    if "df" in fit and start.n_parameters != fit["df"]:
        gap, note = np.nan, f"{start.n_parameters} parameters, not {fit['df']}"
    yield Answer(title, gap, NATS, note)


def _after_one_step(name: str, sample: Expectation, start: Mixture, expected: float, family: str) -> Answer:
    (statistics,) = sample((start,))
    error = statistics.log_likelihood - expected
    if family in _ITERATED:  # the M-step is not at its end there: it may be above, and mclust's VVE is below
        return Answer(name, error, max(1e-4 * abs(expected), NATS))
    return Answer(name, -abs(error), 1e-9 * abs(expected))


def _limit(
    sample: Expectation, start: Mixture, expected: float, inference: Inference = MAXIMUM_LIKELIHOOD
) -> tuple[float, str]:
    """Return by how much the limit of EM is above the expected one, in nats, and how it was reached."""
    gaps = {}
    for note, accelerate in (("", True), ("by plain EM", False)):
        options = EMOptions(1e-9, 3000, accelerate=accelerate, inference=inference)
        level = iterate(State(sample.data_summary, (Trial(start),)), sample, options).best.history[-1]
        gaps[note] = level * sample.data_summary.weight_sum - expected
        if gaps[note] >= -NATS:
            return gaps[note], note
    return max((gap, note) for note, gap in gaps.items())


def own_starts(rows: np.ndarray, k: int, fit: dict[str, Any], weights: np.ndarray | None) -> float:
    """Return the log-likelihood that a fit from starts of its own reaches; minus infinity if it is refused."""
    noise = 1 / fit["Vinv"] if "Vinv" in fit else False
    options = {**_EXACT, "n_init": 10, "random_state": 0, "noise": noise}
    try:
        model = GaussianMixture(k, covariance_type=fit["model"], **options).fit(rows, sample_weight=weights)
    except DaskGMMError:
        return -np.inf
    return float(model.lower_bound_ * (len(rows) if weights is None else weights.sum()))


def moments_of(
    rows: np.ndarray, labels: np.ndarray, family: str, weights: np.ndarray | None = None
) -> ComponentMoments:
    """Return the weighted moments of the parts of a partition in the layout of the family; -1 belongs to none."""
    layout, weights = STRUCTURES[family].layout, np.ones(len(rows)) if weights is None else weights
    parts = [(rows[labels == part], weights[labels == part]) for part in range(labels.max() + 1)]
    counts = np.array([shares.sum() for _, shares in parts])
    means = np.array([np.average(part, axis=0, weights=shares) for part, shares in parts])
    own = [np.atleast_2d(np.cov(part.T, bias=True, aweights=shares)) for part, shares in parts]
    return ComponentMoments(layout, counts, means, layout.gather(counts, np.array([layout.reduce(one) for one in own])))


def mixture_of(rows: np.ndarray, labels: np.ndarray, family: str, weights: np.ndarray | None = None) -> Mixture:
    """Return the mixture that the M-step of the family gives for a partition."""
    moments = moments_of(rows, labels, family, weights)
    total = len(rows) if weights is None else weights.sum()
    covariances = STRUCTURES[family].estimate(moments.counts, moments.covariances)
    return Mixture(family, moments.counts / total, moments.means, covariances)


def semi_supervised(folder: Folder, name: str) -> Iterator[Answer]:
    """mclust's families if every fifth row is labelled: the log-likelihood is reached, the parameters are as many."""
    for fit in folder.fits(name):
        rows, classes = folder.rows(fit["data"]), folder.texts(fit["classes"])
        labels = np.array([fit["order"].index(one) for one in classes])
        labels[np.arange(1, len(rows) + 1) % 5 != 0] = -1
        model = GaussianMixture(fit["G"], covariance_type=fit["model"], **_EXACT, random_state=0).fit(rows, labels)
        gap = float(model.lower_bound_ * len(rows) - fit["loglik"])
        gap = gap if model._n_parameters() == fit["df"] else np.nan
        yield Answer(f"{fit['data'][5:-4]} {fit['model']}-{fit['G']}", gap, NATS)


def prior(folder: Folder, name: str) -> Iterator[Answer]:
    """mclust's default prior, from a partition: the penalised objective is no lower than at mclust's parameters."""
    for fit in folder.fits(name):
        if fit["parameters"] is None:
            continue
        rows, family, k = folder.rows(fit["data"]), fit["model"], fit["G"]
        labels, sample = folder.partition(fit["starts"], f"G{k}"), in_memory(rows, None)
        inference, moments = MaximumAPosteriori(PriorValues(sample.data_summary)), moments_of(rows, labels, family)
        mclusts = _of_parameters(fit["parameters"], family, rows.shape[1])
        (statistics,) = sample((mclusts,))
        level = inference.objective(mclusts, statistics) * len(rows)
        shell = Mixture(family, moments.counts / len(rows), moments.means, mclusts.covariances)
        gap, note = _limit(sample, inference.estimate(shell, moments, None), level, inference)
        if gap < -NATS:
            options = {**_EXACT, "n_init": 10, "random_state": 0, "prior": "default"}
            found = GaussianMixture(k, covariance_type=family, **options).fit(rows)
            gap, note = max((gap, note), (float(found.lower_bound_ * len(rows) - level), "from own starts"))
        yield Answer(f"{fit['data'][5:-4]} {family}-{k}", gap, NATS, note)


def _of_parameters(known: dict[str, Any], family: str, d: int) -> Mixture:
    """Return the mixture of the parameters of a list, whose covariances are dense."""
    layout, weights = STRUCTURES[family].layout, np.atleast_1d(known["pro"])
    dense = np.array(known.get("sigma", known.get("sigmasq")), float).reshape(-1, d, d)  # the latter for one feature
    dense = np.broadcast_to(dense, (len(weights), d, d))
    covariances = layout.gather(weights, np.array([layout.reduce(one) for one in dense]))
    return Mixture(family, weights, np.array(known["mean"], float).reshape(-1, d), covariances)


def variational(folder: Folder, name: str) -> Iterator[Answer]:
    """Variational posteriors from a partition: the complete lower bound is reached."""
    for fit in folder.fits(name):
        rows, labels = folder.rows(fit["data"]), folder.partition(fit["starts"], fit["column"])
        sample = in_memory(rows, None)
        values = [fit[key] for key in ("weights", "weight_concentration_prior", "mean_precision_prior")]
        prior = VariationalPrior(sample.data_summary, *values, degrees_of_freedom=fit["degrees_of_freedom_prior"])
        inference, moments = Variational(prior), moments_of(rows, labels, "full")
        shell = Mixture("full", np.ones(len(moments.counts)), moments.means, moments.covariances)
        gap, note = _limit(sample, inference.estimate(shell, moments, None), fit["evidence_lower_bound"], inference)
        yield Answer(f"{fit['data'][5:-4]} {fit['weights']} {fit['weight_concentration_prior']:.2g}", gap, NATS, note)

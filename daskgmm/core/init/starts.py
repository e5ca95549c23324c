"""Starts: mixtures made on a sample in memory and improved there by EM; the best go on to the full data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from ...blas import single_threaded
from ...errors import SingularCovarianceError
from ..arrays.types import NO_MATRIX, Array, for_each
from ..em.e_step import Expectation, Rows
from ..em.loop import EMOptions, State, StopReason, Trial, iterate
from ..em.short_runs import can_run, run_short
from ..em.surrogate import CHEAP_ROWS
from ..mixture.covariance import STRUCTURES
from ..mixture.data_summary import summarise_rows
from ..mixture.feature_map import FeatureMap
from ..mixture.frame import Frame
from ..mixture.layouts import Scatter
from ..mixture.low_rank import from_z
from ..mixture.mixture import Mixture, project
from ..mixture.noise import Noise
from .gaps import fill, with_fitted_scatter
from .k_means import Labels, draw_centres, nearest, partition_by_k_means
from .local_factors import local_factors
from .sparse_rows import sparse_rows

InitParams = Literal["kmeans", "k-means++", "random", "random_from_data"]

_STAGE_ROWS = 10_000
_STAGE_TOL = 1e-3  # nats per row: enough to see which restarts are hopeless
_TOL_DIVISOR = 10  # EM goes so much closer to its limit, where all restarts go on
_SAME_LEVEL = 1e-6  # nats per row: trials that end so close have found the same
_TOL_PER_OPTIMISM = 0.01  # tolerance of EM, in units of what chance adds to the log-likelihood of the sample
_ROWS_PER_PART = 4  # times d + 1
_PLAIN_WORK = 100_000  # numbers of joint log-densities times columns up to which EM begins with compiled plain steps
_PLAIN_STEPS = 3000  # of them, at most
_MIN_MOVED_RESTARTS = 2  # restarts, at least, that go on after the first stage: they run side by side
_ROWS_TO_WHITEN = 10  # for each feature
_MIN_MODE_GAIN = 0.25  # nats per row that modes gain at least
_MAX_MODES = 16
_MIN_MODE_SHARE = 0.02  # of the rows
_MODE_ROWS = 5_000  # on which modes are looked for
_MIN_MODE_WIDTH = 0.03  # of the column's standard deviation
_MAX_VALUES = 2**28  # of a sample: 2 GiB in float64, in which restarts take some of its rows
NOISE_SHARES = (0.05, 0.2)  # of the rows, that a start takes for noise


@dataclass(frozen=True, eq=False)
class Given:
    """Parameters that the user gives; what is None is estimated."""

    weights: Array | None = None  # (k,)
    means: Array | None = None  # (k, d)
    covariances: Array | None = None  # shape by covariance_type

    def mixture(self, covariance_type: str, noise: Noise | None = None) -> Mixture | None:
        """Return the mixture that the parameters make, None unless all are given; the noise has the weight left."""
        if self.weights is None or self.means is None or self.covariances is None:
            return None
        return Mixture(covariance_type, self.weights, self.means, self.covariances, noise and self.noise(noise))

    def noise(self, noise: Noise) -> Noise:
        """Return the noise with the weight that the given weights leave."""
        assert self.weights is not None, "without weights the starts choose that of the noise"
        return replace(noise, weight=1 - float(self.weights.sum()))


@dataclass(frozen=True, eq=False)
class SeedOptions:
    """How mixtures are started."""

    n_components: int
    covariance_type: str = "full"
    init_params: InitParams = "kmeans"
    n_init: int = 4  # restarts on the sample
    n_finalists: int = 1  # how many of them go on to the full data
    n_moved: int = 2  # how many of them, at least, continue from the first part of the sample to moves
    in_parts: bool = True  # whether the sample is larger than its first part
    em: EMOptions = field(default_factory=EMOptions)
    given: Given = field(default_factory=Given)
    noise: Noise | None = None  # of which the starts choose the weight
    frozen: tuple[int, ...] = ()  # components whose given means and covariances stay
    cheap: bool = False  # whether restarts take no longer one after the other than side by side


Restart = Trial | SingularCovarianceError


@dataclass(frozen=True, eq=False)
class RestartResults:
    """Trials on the sample, best first: the restarts on its first part, and the finalists on the whole of it."""

    restarts: tuple[Trial, ...]
    finalists: tuple[Trial, ...]

    @property
    def mixtures(self) -> tuple[Mixture, ...]:
        """The mixtures that go on to all rows."""
        return tuple(trial.mixture for trial in self.finalists)


def sample_size(n_components: int, n_features: int, covariance_type: str) -> int:
    """Return the number of rows that a sample should have.

    A maximum likelihood fit on m rows falls short on other rows by about n_parameters / 2m nats per row: 20 rows per
    parameter leave 0.025, which a few passes over the full data make up. From 1,343 features on the values of the
    sample are bounded, since it would take far more memory than what is fitted; but each component has 20 times the
    rows without which its covariance is not regular, which own dense covariances need.
    """
    k, d, structure = n_components, n_features, STRUCTURES[covariance_type]
    n_parameters = k - 1 + k * d + structure.n_parameters(k, d)
    n_needed = 20 * k * max(structure.per_component(d)[0], 1)
    n_rows = min(max(100_000, 20 * n_parameters), max(200_000, 2**24 // d))
    return min(n_rows, max(_MAX_VALUES // d, n_needed))


def n_moved_restarts(n_init: int, n_finalists: int, n_sample: int) -> int:
    """Return the number of restarts that go on to moves: all if that is cheap, so that more never end lower."""
    return n_init if n_sample <= CHEAP_ROWS else min(max(n_finalists, _MIN_MOVED_RESTARTS), n_init)


def first_stage_rows(n_sample: int) -> int:
    """Return the number of rows of the first stage of restarts: a quarter of the sample, and at least 10,000."""
    return min(max(_STAGE_ROWS, n_sample // 4), n_sample)


def in_memory(
    rows: Rows, row_weights: Rows | None, dtype: DTypeLike = np.float64, *, missing: bool = True
) -> Expectation:
    """Return the pass over rows in memory, with their data summary; NaN is a fault, or with `missing` a missing value.

    Of rows with faults the summary tells these alone.
    """
    data_summary = summarise_rows(rows, row_weights, missing=missing)
    return with_fitted_scatter(Expectation(rows, row_weights, data_summary, dtype))


def first_stage(sample: Expectation) -> Expectation:
    """Return the first part of the sample, on which restarts run first."""
    n = first_stage_rows(len(sample.rows))
    if n == len(sample.rows):
        return sample
    weights = None if sample.row_weights is None else sample.row_weights[:n]
    part = in_memory(sample.rows[:n], weights, sample.dtype)
    return sample if part.data_summary.without_value else part


def rank(restarts: Sequence[Restart]) -> list[Trial]:
    """Return the trials, best first and equals in order; raise the first failure where all failed."""
    trials = [one for one in restarts if isinstance(one, Trial)]
    if not trials:
        raise next(one for one in restarts if isinstance(one, SingularCovarianceError))
    return sorted(trials, key=lambda trial: trial.ranking_key, reverse=True)


def distinct(restarts: Sequence[Restart], within: float = _SAME_LEVEL) -> list[Trial]:
    """Return the trials in order, and of those that ended at the same log-likelihood, nats per row, the first.

    So it does not depend on the number of restarts which one goes on.
    """
    found: list[Trial] = []
    for trial in restarts:
        if isinstance(trial, Trial) and all(abs(trial.history[-1] - other.history[-1]) > within for other in found):
            found.append(trial)
    return found


def restart(sample: Expectation, options: SeedOptions, seed: int) -> Restart:
    """Return the trial to which EM on the sample leads from one seeded start, or why there is none."""
    try:
        mixture = start(sample, options, seed)
        if len(sample.rows) <= CHEAP_ROWS and not options.in_parts:
            return run_em_to_sampling_error(sample, options, mixture)
        return run_em_on_sample(
            sample, replace(options, em=replace(options.em, tol=max(options.em.tol, _STAGE_TOL))), mixture
        )
    except SingularCovarianceError as error:
        return error


def run_em_to_sampling_error(sample: Expectation, options: SeedOptions, mixture: Mixture) -> Restart:
    """Return the trial to which EM leads from the mixture, as close to its limit as the rows of the sample tell.

    Where that is cheap it goes closer, so that trials are compared by their limits.
    """
    if len(sample.rows) <= CHEAP_ROWS:
        return run_em_on_sample(
            sample, replace(options, em=replace(options.em, tol=options.em.tol / _TOL_DIVISOR)), mixture
        )
    tol = max(options.em.tol, _TOL_PER_OPTIMISM * expected_optimism(sample, options, options.n_components))
    return run_em_on_sample(sample, replace(options, em=replace(options.em, tol=tol)), mixture)


def expected_optimism(sample: Expectation, options: SeedOptions, n_components: int) -> float:
    """Return the expected optimism of the in-sample log-likelihood, p / 2n, in nats per row."""
    n_parameters = count_parameters(options.covariance_type, n_components, sample.rows.shape[1])
    return float(n_parameters / (2 * len(sample.rows)))


def count_parameters(covariance_type: str, n_components: int, n_features: int) -> int:
    """Return the number of parameters of some components of a mixture, all of their weights among them."""
    own: int = n_components * (1 + n_features)
    return own + STRUCTURES[covariance_type].n_parameters(n_components, n_features)


def run_em_on_sample(sample: Expectation, options: SeedOptions, mixture: Mixture) -> Restart:
    """Return the trial to which EM on the sample leads from the mixture, or why there is none.

    Its steps are left out: all restarts are held together, and steps take twelve times what a mixture takes.
    """
    try:
        at = _run_plain(sample, options.em, mixture)
        # Near the limit extrapolation blows up rounding, and plain steps do not.
        accelerate = options.em.accelerate and at.stop is not StopReason.CONVERGED
        em = replace(options.em, accelerate=accelerate, max_iter=max(options.em.max_iter - at.n_iter, 1))
        trial = iterate(State(sample.data_summary, (Trial(at.mixture),)), sample, em).best
    except SingularCovarianceError as error:
        return error
    levels = (level for level in at.history if level < trial.history[0])
    return replace(trial, history=(*levels, *trial.history), steps=())


def _run_plain(sample: Expectation, em: EMOptions, mixture: Mixture) -> Trial:
    """Return the trial of plain EM from the mixture as one compiled call, or that before any step on larger samples.

    On few rows a step takes a tenth or less of what an accelerated one takes with Python around it.
    """
    work = len(sample.rows) * mixture.n_components * mixture.feature_map.n_columns(mixture.n_features)
    if work > _PLAIN_WORK or not can_run(sample, mixture, em):
        return Trial(mixture)
    return run_short(sample, [mixture], replace(em, max_iter=min(em.max_iter, _PLAIN_STEPS)), [_PLAIN_STEPS])[0]


def start(sample: Expectation, options: SeedOptions, seed: int) -> Mixture:
    """Return the mixture of a partition of the sample into k parts, given parameters in place of estimated ones."""
    with single_threaded():
        return _start(sample, options, seed)


def _start(sample: Expectation, options: SeedOptions, seed: int) -> Mixture:
    rng = np.random.default_rng(seed)
    z, weights = standardise(sample)
    given = options.given
    if given.means is not None:
        labels = nearest(z, sample.data_summary.frame.to_z(given.means))
        if options.noise is not None:
            labels[sparse_rows(z, weights, NOISE_SHARES[seed % 2])] = options.n_components
    else:
        labels = partition_with_noise(points_of(z, sample, seed), weights, options, seed, rng)
    mixture = mixture_of_parts(sample, z, weights, labels, options, rng)
    replaced = {name: value for name, value in vars(given).items() if value is not None}
    if given.weights is not None and mixture.noise is not None:
        replaced["noise"] = given.noise(mixture.noise)
    return project(replace(mixture, **replaced, frozen=options.frozen), options.em.floor)


def points_of(z: Array, sample: Expectation, seed: int) -> Array:
    """Return the points that a restart partitions: z (n, d), or z in its principal axes where the seed is odd.

    Whitening shows groups that lie close to each other along wide axes. Where there are few rows for the number of
    features it would scale up noise instead. Columns are in units of the width of their modes: in units of the whole,
    groups far apart along one of many columns would drown in the noise of the others.
    """
    whitened = seed % 2 == 1 and len(z) >= _ROWS_TO_WHITEN * z.shape[1]
    points = whiten(z, sample.data_summary.total_covariance) if whitened else z
    return points / mode_widths(points[:_MODE_ROWS])


def mode_widths(points: Array) -> Array:
    """Return the standard deviation within the modes of each column of points (n, d), that of the column if it has one.

    A column is cut into those parts whose Gaussians of one width describe it best, if they do so clearly better than a
    single one: by log(deviation / width) - H nats per row, with H the entropy of the parts. That is -0.2 to 0 for the
    parts of one Gaussian or uniform distribution, and at most 0.24 for those of an exponential one.
    """
    ordered = np.sort(points, axis=0)
    whole = ordered.std(axis=0)
    widths = np.array([_mode_width(column) for column in ordered.T])
    return np.where(whole > 0, np.maximum(widths, _MIN_MODE_WIDTH * whole), 1.0)


def _mode_width(values: Array) -> float:
    """Return the standard deviation within the modes of sorted values (n,)."""
    n, least = len(values), max(int(_MIN_MODE_SHARE * len(values)), 2)
    parts = [_Part.of(values, least)]
    total = parts[0].squares
    width, best = total, _MIN_MODE_GAIN
    while len(parts) < _MAX_MODES and (widest := max(parts, key=lambda part: part.gain)).gain > 0:
        parts.remove(widest)
        parts += [_Part.of(half, least) for half in (widest.values[: widest.cut], widest.values[widest.cut :])]
        shares = np.array([len(part.values) / n for part in parts])
        within = max(sum(part.squares for part in parts), _MIN_MODE_WIDTH**2 * total)
        gain = float(np.log(total / within) / 2 + shares @ np.log(shares))
        if gain > best:
            width, best = within, gain
    return float(np.sqrt(width / n))


@dataclass(frozen=True, eq=False)
class _Part:
    """Sorted values, and where they are cut best."""

    values: Array
    squares: float  # sum of the squared deviations from the mean
    cut: int  # number of values before the cut
    gain: float  # by how much a cut reduces the squares; 0 where there is none

    @classmethod
    def of(cls, values: Array, least: int) -> _Part:
        deviations = values - values.mean()
        before = np.arange(least, len(values) - least + 1)
        if not len(before):
            return cls(values, float(deviations @ deviations), 0, 0.0)
        between = np.cumsum(deviations)[before - 1] ** 2 * len(values) / (before * (len(values) - before))
        best = int(np.argmax(between))
        return cls(values, float(deviations @ deviations), int(before[best]), float(between[best]))


def restart_seeds(entropy: int | Sequence[int], n: int) -> list[int]:
    """Return n seeds of restarts, even and odd in turn; the first ones are the same for any n."""
    drawn = np.random.SeedSequence(entropy).generate_state(n)
    return [int(seed) & ~1 | number % 2 for number, seed in enumerate(drawn)]


def standardise(sample: Expectation) -> tuple[Array, Array]:
    """Return the rows of the sample in the coordinates of its frame, (n, d), without gaps, and their weights, (n,)."""
    z = sample.data_summary.frame.to_z(np.asarray(fill(sample.rows, sample.data_summary), dtype=np.float64))
    return z, sample.weights


def partition_with_noise(
    points: Array, weights: Array, options: SeedOptions, seed: int, rng: np.random.Generator
) -> Labels:
    """Return the part of each of the points (n, d); with noise, k is the part of those that lie farthest from others.

    How many these are differs between restarts with even and odd seeds.
    """
    if options.noise is None:
        return partition(points, weights, options, rng)
    sparse = sparse_rows(points, weights, NOISE_SHARES[seed % 2])
    labels = np.full(len(points), options.n_components, np.intp)
    labels[~sparse] = partition(points[~sparse], weights[~sparse], options, rng)
    return labels


def partition(points: Array, weights: Array, options: SeedOptions, rng: np.random.Generator) -> Labels:
    """Return the part of each of the points (n, d), 0 to k - 1, or -1 where a point is left out.

    A random partition is one of few points: parts of many would have the same mean, a saddle of the likelihood.
    """
    k = options.n_components
    seed = int(rng.integers(2**31))
    match options.init_params:
        case "random":
            labels = np.full(len(points), -1)
            chosen = rng.permutation(len(points))[: k * _ROWS_PER_PART * (points.shape[1] + 1)]
            labels[chosen] = rng.integers(k, size=len(chosen))
            return labels
        case "random_from_data":
            chosen = rng.choice(len(points), size=k, replace=len(points) < k, p=weights / weights.sum())
            return nearest(points, points[chosen])
        case "k-means++":
            return nearest(points, draw_centres(points, weights, k, seed))
        case "kmeans":
            return partition_by_k_means(points, weights, k, seed)


def whiten(z: Array, covariance: Array) -> Array:
    """Return z (n, d) in the principal axes of a covariance, each scaled to variance 1; null axes dropped."""
    variances, axes = np.linalg.eigh(covariance)
    if variances[-1] <= 0:  # all rows are the same
        return z
    kept = variances > 1e-9 * variances[-1]
    white: Array = z @ (axes[:, kept] / np.sqrt(variances[kept]))
    return white


def mixture_of_parts(
    sample: Expectation, z: Array, weights: Array, labels: Labels, options: SeedOptions, rng: np.random.Generator
) -> Mixture:
    """Return the mixture whose components are the weights, means and covariances of the parts.

    Each covariance gets d + 1 rows' worth of the pooled covariance within parts, so that small parts have one too; an
    empty part is put on a row at random. With noise, k is the part of its rows.
    """
    frame, structure = sample.data_summary.frame, STRUCTURES[options.covariance_type]
    k, d = options.n_components, frame.n_features
    unit = weights.sum() / len(weights)
    means = z[rng.integers(len(z), size=k)]
    counts = np.zeros(k)
    for part in range(k):
        own, own_weights = z[labels == part], weights[labels == part]
        counts[part] = own_weights.sum()
        if counts[part] > 0:
            means[part] = own_weights @ own / counts[part]
    if structure.layout.n_factors:
        within = from_z(local_factors(z, weights, labels, means, structure.layout.n_factors, rng), frame)
    else:
        scatter = _blend(_scatter(z, weights, labels, means, structure.centred_map, frame), counts, (d + 1) * unit)
        within = structure.layout.within(Scatter(counts + unit, np.zeros((k, d)), scatter, NO_MATRIX), frame)
    counts = counts + unit
    covariances = structure.estimate(counts, within, floor=options.em.floor)
    mixture = Mixture(options.covariance_type, counts, frame.to_x(means), covariances, options.noise)
    return mixture.weigh(counts if options.noise is None else np.append(counts, weights[labels == k].sum() + unit))


def _scatter(z: Array, weights: Array, labels: Labels, means: Array, feature_map: FeatureMap, frame: Frame) -> Array:
    """Return the scatter of each part about its mean, (k, ...) by the feature map."""
    parts = ((z[labels == part] - mean, weights[labels == part]) for part, mean in enumerate(means))
    return np.array([_second(own, own_weights, feature_map, frame.isotropy_weights) for own, own_weights in parts])


def _blend(scatter: Array, counts: Array, prior: float) -> Array:
    """Return the covariances of parts with `prior` rows' worth of the pooled one."""
    blended: Array = scatter + prior * scatter.sum(axis=0) / counts.sum()
    blended /= for_each(counts + prior, scatter)
    return blended


def _second(differences: Array, weights: Array, feature_map: FeatureMap, isotropy_weights: Array) -> Array:
    if feature_map is FeatureMap.FULL:
        dense: Array = (differences.T * weights) @ differences
        return dense
    squares: Array = weights @ differences**2
    return squares if feature_map is FeatureMap.DIAGONAL else np.array([squares @ isotropy_weights])

"""Starts of the candidates of a sweep on one sample: partitions that all structures share, and growth by splitting.

Candidates of one structure are started in the order of their sizes. Each has fresh starts, from partitions of the
sample, and starts grown from the next smaller candidate: the components whose split gains most (Ueda, Nakano,
Ghahramani and Hinton 2000, SMEM algorithm). A few EM steps, which all starts share, tell which of them goes on
(Biernacki, Celeux and Govaert 2003, short runs of EM).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...blas import single_threaded
from ...errors import SingularCovarianceError
from ..arrays.types import Array
from ..em.e_step import Expectation
from ..em.loop import EMOptions, State, Trial, iterate
from ..em.short_runs import can_run, run_short
from ..kernels.natural_parameters import check_regular, prepare_prediction
from ..mixture.floor import Floor
from ..mixture.mixture import Mixture
from ..scoring.bhattacharyya import bhattacharyya_distances
from ..scoring.prediction import PredictionOutputs, predict
from .density_peak import densest_place
from .k_means import Labels
from .starts import (
    SeedOptions,
    in_memory,
    mixture_of_parts,
    partition_with_noise,
    points_of,
    rank,
    run_em_on_sample,
    standardise,
    whiten,
)

Seeded = tuple[Trial, ...] | SingularCovarianceError  # the finalists, best first, or why there is none

_MAX_LONG_RUNS = 3  # starts that continue from there
_SHORT_STEPS = 10  # EM steps that starts are compared after
MAX_SPLITS = 4  # of one mixture, that are tried
_SAME_DISTANCE = 1e-3  # Bhattacharyya distance of a component from one that is not halved again
_SPLIT_STEPS = 8  # EM steps of the two halves of a component
_SPLIT_TOL = 1e-3  # nats per row of the component, of that EM
# Of a component, at most: on how many rows the gain of its split is estimated. In many features a small group hides.
_MIN_SPLIT_ROWS, _MAX_SPLIT_ROWS = 2_000, 4_000
_SPLIT_ROWS_PER_FEATURE, _MIN_ROWS_PER_FEATURE = 125, 20


def partitions(sample: Expectation, options: SeedOptions, seeds: Sequence[int]) -> tuple[Labels, ...]:
    """Return partitions of the sample into k parts, one for each seed; they serve all structures."""
    with single_threaded():
        z, weights = standardise(sample)
        return tuple(
            partition_with_noise(points_of(z, sample, seed), weights, options, seed, np.random.default_rng(seed))
            for seed in seeds
        )


def start_candidate(
    sample: Expectation, options: SeedOptions, parts: Sequence[Labels], smaller: Seeded | None
) -> Seeded:
    """Return the candidate's finalists after EM on the sample, from fresh starts and from what is grown of `smaller`.

    `smaller` holds the finalists of a candidate of the same structure with fewer components, or is None.
    """
    try:
        starts = mixtures_of_parts(sample, options, parts)
        if isinstance(smaller, tuple):
            starts += grow(sample, options, smaller[0].mixture)
        best = rank(short_runs(sample, options, starts))[: max(options.n_finalists, _MAX_LONG_RUNS)]
        trials = tuple(Trial(trial.mixture) for trial in best)
        return tuple(
            rank(iterate(State(sample.data_summary, trials), sample, options.em).trials)[: options.n_finalists]
        )
    except SingularCovarianceError as error:
        return error
    except np.linalg.LinAlgError as error:
        return SingularCovarianceError(f"no start of {options.n_components} components can be computed: {error}")


def refine_finalists(sample: Expectation, options: SeedOptions, finalists: Seeded) -> Seeded:
    """Return the finalists after EM on another sample, best first."""
    if isinstance(finalists, SingularCovarianceError):
        return finalists
    try:
        return tuple(rank([run_em_on_sample(sample, options, trial.mixture) for trial in finalists]))
    except SingularCovarianceError as error:
        return error


def short_runs(
    sample: Expectation, options: SeedOptions, starts: Sequence[Mixture], stages: Sequence[int] = (_SHORT_STEPS,)
) -> tuple[Trial, ...]:
    """Return the trials of a few EM steps from the starts; raise SingularCovarianceError where none is regular.

    After each of the stages, of so many steps, the worse half is given up, where compiled runs know them; of others
    all make the same number of steps, and share each pass.
    """
    em = replace(options.em, max_iter=min(sum(stages), options.em.max_iter))
    if starts and can_run(sample, starts[0], em):
        return run_short(sample, starts, em, stages)
    em = replace(em, max_iter=min(_SHORT_STEPS, em.max_iter))
    regular, error = [], None
    for mixture in starts:
        try:
            check_regular(mixture, sample.data_summary.frame)
            regular.append(Trial(mixture))
        except SingularCovarianceError as one:
            error = one
    if not regular and error is not None:
        raise error
    return iterate(State(sample.data_summary, tuple(regular)), sample, em).trials


def grow(sample: Expectation, options: SeedOptions, mixture: Mixture) -> list[Mixture]:
    """Return mixtures of options.n_components components, grown from one of fewer by splits; [] where none splits."""
    while True:
        larger = splits(sample, mixture, options.em.floor)
        if not larger or larger[0].n_components >= options.n_components:
            return larger
        mixture = rank(short_runs(sample, options, larger))[0].mixture


def splits(sample: Expectation, mixture: Mixture, floor: Floor | None) -> list[Mixture]:
    """Return mixtures of one component more, each with one component split, the most promising first."""
    found = halve_each(sample, mixture, floor)[:MAX_SPLITS]
    return [mixture.replace([((one.component,), one.pair)]) for one in found]


@dataclass(frozen=True, eq=False)
class Split:
    """A component in two."""

    component: int
    whole: Mixture  # of one: the component that was halved
    pair: Mixture  # of two, for the rows of the component
    own_gain: float  # that is estimated, nats per row of the component
    share: float  # of the sample's rows, that the component has
    level: float  # mean log-likelihood of the component's rows under the pair

    @property
    def gain(self) -> float:
        """The estimated gain, nats per row of the sample."""
        return self.share * self.own_gain


def halve_each(sample: Expectation, mixture: Mixture, floor: Floor | None, known: Sequence[Split] = ()) -> list[Split]:
    """Return the components in two, the most promising first.

    The gain is estimated on the rows that are labelled with the component: the log-likelihood of two components there,
    beside that of one, less what more parameters gain on rows that they are fitted to and lose on others (Akaike 1973).
    A component that is one of those `known`, or nearly, is not halved again.
    """
    coefficients = prepare_prediction(mixture, missing=sample.data_summary.has_gaps)
    found = []
    labels = predict(sample.rows, sample.row_weights, coefficients, mixture.n_components, PredictionOutputs()).labels
    means = np.array([one.whole.means[0] for one in known]).reshape(len(known), mixture.n_features)
    for component in range(mixture.n_components):
        own = np.flatnonzero(labels == component)
        if len(own) < 2 * (mixture.n_features + 1) or component in mixture.empty:
            continue
        whole = mixture.take([component])
        halved = find_same(known, whole, means, _SAME_DISTANCE)
        if halved is None:
            halved = halve(first_of(sample, own), whole, floor)
        if halved is not None:
            found.append(replace(halved, component=component, share=len(own) / len(labels)))
    return sorted(found, key=lambda one: -one.gain)


class Known(Protocol):
    """What was split."""

    @property
    def whole(self) -> Mixture: ...


OfWhole = TypeVar("OfWhole", bound=Known)


def find_same(known: Sequence[OfWhole], whole: Mixture, means: Array, within: float) -> OfWhole | None:
    """Return the split of a component that is nearly the same, None if there is none; `means` (m, d) of those known.

    It is if their Bhattacharyya distance is below `within`.

    (mu_a - mu_b)^T S^-1 (mu_a - mu_b) / 8 is the least that their distance can be, and each feature's share of it less.
    """
    variances = whole.variances[0]
    apart = (means - whole.means[0]) ** 2 > 8 * within * 2 * variances
    near = (known[int(one)] for one in np.flatnonzero(~apart.any(axis=1)))
    return next((one for one in near if bhattacharyya_distances(one.whole, whole)[0, 0] < within), None)


def most_split_rows(n_features: int) -> int:
    """Return on how many rows of a component, at most, its split is estimated."""
    wanted = min(max(_MIN_SPLIT_ROWS, _SPLIT_ROWS_PER_FEATURE * (n_features + 1)), _MAX_SPLIT_ROWS)
    return max(wanted, _MIN_ROWS_PER_FEATURE * (n_features + 1))


def first_of(sample: Expectation, chosen: NDArray[np.intp]) -> Expectation:
    """Return the first of the chosen rows of the sample, as many as a split is estimated on."""
    first = chosen[: most_split_rows(sample.rows.shape[1])]
    weights = None if sample.row_weights is None else sample.row_weights[first]
    return in_memory(sample.rows[first], weights, sample.dtype)


def halve(part: Expectation, component: Mixture, floor: Floor | None) -> Split | None:
    """Return a component in two, by the rows labelled with it; None where these have no width, or no values."""
    if part.data_summary.without_value:
        return None
    one = _options(1, component.covariance_type, floor)
    try:
        whole = short_runs(part, one, mixtures_of_parts(part, one, [np.zeros(len(part.rows), np.intp)]))[0]
        best, d = fit_pair(part, component.covariance_type, floor), component.n_features
    except SingularCovarianceError:
        return None
    n_more = d + 1 + component.structure.n_parameters(1, d)
    own_gain = best.history[-1] - whole.history[-1] - n_more / len(part.rows)
    return Split(0, component, best.mixture, own_gain, 1.0, best.history[-1])


def fit_pair(part: Expectation, covariance_type: str, floor: Floor | None) -> Trial:
    """Return the trial of two components on rows; raise SingularCovarianceError where these have no width.

    EM on them starts from the two sides of the widest axis, and from the densest place and what is around it.
    """
    z, options = standardise(part)[0], _options(2, covariance_type, floor)
    axis = np.linalg.eigh(part.data_summary.total_covariance)[1][:, -1]
    sides = [z @ axis > 0, densest_place(whiten(z, part.data_summary.total_covariance))]
    starts = mixtures_of_parts(part, options, [side.astype(np.intp) for side in sides if side is not None])
    return rank(short_runs(part, options, starts))[0]


def _options(n_components: int, covariance_type: str, floor: Floor | None) -> SeedOptions:
    return SeedOptions(n_components, covariance_type, em=EMOptions(_SPLIT_TOL, _SPLIT_STEPS, floor))


def mixtures_of_parts(sample: Expectation, options: SeedOptions, parts: Sequence[Labels]) -> list[Mixture]:
    """Return the mixture of each partition of the sample."""
    with single_threaded():
        z, weights = standardise(sample)
        return [mixture_of_parts(sample, z, weights, one, options, np.random.default_rng(0)) for one in parts]

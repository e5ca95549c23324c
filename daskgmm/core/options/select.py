"""The section `select` of the configuration: which candidates are compared, and by what."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le, MinLen

from ...errors import ConfigurationError
from ...options import STRICT, SizeInBytes, TextPattern
from ..init.starts import SeedOptions
from ..mixture.covariance import ALL_TYPES, DEFAULT_TYPES, STRUCTURES, types_of
from ..mixture.data_summary import DataSummary
from ..mixture.low_rank import LOW_RANK_PATTERN, family_options
from ..selection.criterion import CRITERIA, Criterion
from ..selection.sweep import Candidate, SweepOptions, structure_name
from .fit import FitOptions, ModelOptions
from .prior import check_prior

_RANGE = re.compile(r"^([0-9]+)\.\.([0-9]+)$")
Range = Annotated[str, TextPattern(_RANGE.pattern)]
TypePattern = Annotated[str, TextPattern(rf"^({'|'.join(ALL_TYPES)}|all|{LOW_RANK_PATTERN}|[EVI*?!\[\]]+)$")]
_SHORTFALL_SHARE = 0.1
_MANY_FEATURES = 1000  # features, for which types are ordered by their statistics


@dataclass(frozen=True)
class SelectOptions:
    """Which candidates a sweep compares, and by what."""

    __pydantic_config__: ClassVar = STRICT

    n_components: Annotated[tuple[Annotated[int, Ge(1)], ...], MinLen(1)] | Range = "1..10"
    """Numbers of components: a list, or a range as 1..10 with both its ends."""
    covariance_type: Annotated[tuple[TypePattern, ...], MinLen(1)] | TypePattern = DEFAULT_TYPES
    """Covariance types, or patterns as in [E*, VVV], or all: mclust's 14; each with each number of components.

    low_rank_4 is of low rank with 4 factors.
    """
    noise: Annotated[tuple[bool | Annotated[float, Gt(0)], ...], MinLen(1)] | None = None
    """Noise components, as model.noise has them, such as [false, true]; each with each model. Default: model.noise."""
    criterion: Criterion = "bic"
    """bic, aic, aicc or icl, of which the smallest wins; heldout: the largest log-likelihood of rows held out.

    evidence: the largest lower bound of the log-evidence, with fit.inference variational.
    """
    folds: Annotated[int, Ge(2), Le(100)] = 5
    """Parts that the rows are split into, for criterion heldout."""
    leave_early: bool = True
    """Stop candidates before they converge once they can no longer win; false: run all to the end."""
    batch_bytes: Annotated[int, SizeInBytes(minimum=2**20)] = 64 * 2**20
    """Size of the candidates' statistics that one read of the rows carries at most, in bytes or as 64MB."""

    def __post_init__(self) -> None:
        """Raise ConfigurationError for a range that is none, and for a covariance type that there is not."""
        try:
            types_of(self.covariance_type)
        except ValueError as error:
            raise ConfigurationError(f"select.covariance_type: {error}") from None
        if isinstance(self.n_components, str):
            match = _RANGE.fullmatch(self.n_components)
            if match is None or not 1 <= int(match[1]) <= int(match[2]):
                raise ConfigurationError(
                    f"select.n_components {self.n_components!r} is neither a list, as in [1, 2, 3], nor a range, as in "
                    "1..10"
                )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of components, in rising order."""
        if isinstance(self.n_components, str):
            first, last = self.n_components.split("..")
            return tuple(range(int(first), int(last) + 1))
        return tuple(sorted(set(self.n_components)))

    @property
    def types(self) -> tuple[str, ...]:
        """The covariance types, each family once."""
        return types_of(self.covariance_type)

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The models that are compared: by covariance type, within it by noise, and within that by size."""
        return tuple(
            Candidate(k, covariance_type, noise)
            for covariance_type in self.types
            for noise in self.noises
            for k in self.sizes
        )

    @property
    def noises(self) -> tuple[bool | float, ...]:
        """The noise components, each once."""
        named_once = {structure_name("", one): one for one in self.noise or (False,)}
        return tuple(named_once.values())

    @property
    def largest(self) -> Candidate:
        """The candidate that takes the most memory."""
        return Candidate(self.sizes[-1], max(self.types, key=_work), max(self.noises, key=bool))

    @property
    def smallest(self) -> Candidate:
        """The candidate that asks least of the data but for what its structure asks of columns."""
        return Candidate(self.sizes[0], max(self.types, key=_work), max(self.noises, key=bool))

    @property
    def n_folds(self) -> int:
        """Parts that are held out in turn, 0 for none."""
        return self.folds if CRITERIA[self.criterion].held_out else 0

    def check_inference(self, fit: FitOptions, base: ModelOptions) -> None:
        """Raise ConfigurationError unless the criterion compares what is inferred, for all candidates."""
        of_posterior = CRITERIA[self.criterion].of_posterior
        if fit.inference != ("variational" if of_posterior else "em"):
            raise ConfigurationError(
                f"fit.inference is {fit.inference} and select.criterion {self.criterion}: a sweep compares posteriors "
                "(variational) by evidence, and fits by maximum likelihood (em) by the others"
            )
        for one in self.types:
            check_prior(fit.inference, base.prior, one)
        if of_posterior and self.noises != (False,):
            raise ConfigurationError("select.noise acts with fit.inference em only: leave it out, or take bic")

    def model(self, candidate: Candidate, base: ModelOptions) -> ModelOptions:
        """Return the options of the candidate's model."""
        size, options = candidate.n_components, family_options(candidate.covariance_type)
        return replace(base, n_components=size, noise=candidate.noise, **options)

    def n_sample(self, fit: FitOptions, base: ModelOptions, n_features: int) -> int:
        """Return the number of rows of the sample that all candidates share: what the largest asks for."""
        return max(fit.n_sample(self.model(one, base), n_features) for one in self.candidates)

    def sweep(self, fit: FitOptions, base: ModelOptions, data_summary: DataSummary, n_sample: int) -> SweepOptions:
        """Return the options of the sweep over all rows, whose starts were fitted to n_sample of them.

        Steps are plain, since a candidate leaves by its estimated remaining gain, which is that of plain steps. The
        floor serves all candidates: it has a matrix if any of them has dense covariances, as the largest then has.
        """
        drawn = n_sample if n_sample < data_summary.n_rows else None
        em = replace(fit.em(self.model(self.largest, base), data_summary), accelerate=False)
        return SweepOptions(em, self.criterion, drawn, self.leave_early)


def _work(covariance_type: str) -> tuple[bool, int]:
    """Return the sort key of types: whether features may be correlated, and the columns of their statistics."""
    family = STRUCTURES[covariance_type]
    return family.layout.dense, family.feature_map.n_columns(_MANY_FEATURES)


def seed_options(
    candidate: Candidate, fit: FitOptions, model: ModelOptions, data_summary: DataSummary, n_sample: int
) -> SeedOptions:
    """Return the options of a candidate's starts on n_sample of all rows.

    On a sample EM stops at a tenth of what a fit to it falls short on other rows, p / 2m nats per row, since the passes
    over all rows make that up; on all rows it goes ten times closer to its limit than `tol`.
    """
    options = fit.seed_options(model, data_summary)
    shortfall = (
        candidate.n_parameters(data_summary.n_features) / (2 * n_sample) if n_sample < data_summary.n_rows else 0.0
    )
    tol = max(options.em.tol, _SHORTFALL_SHARE * shortfall)
    return replace(options, em=replace(options.em, tol=tol, accelerate=False))

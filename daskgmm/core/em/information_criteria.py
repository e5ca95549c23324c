"""Information criteria, scikit-learn's sign: smaller is better (mclust prints their negatives)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Criteria:
    """What a fit is judged by; n is the sum of the row weights, p the number of free parameters.

    ICL is the form with the entropy (McLachlan and Peel 2000, Finite mixture models, 6.10.3, as ICL-BIC). mclust's, of
    Biernacki, Celeux and Govaert (2000), takes the most probable labels instead, BIC - 2 sum_n log max_k r_nk: it is
    never larger, and the two are equal where every row is sure of its component.
    """

    aic: float  # 2 p - 2 log L (Akaike 1974)
    bic: float  # p log n - 2 log L (Schwarz 1978)
    icl: float  # BIC + 2 x entropy of the responsibilities; see above
    aicc: float  # AIC + 2 p (p + 1) / (n - p - 1), infinite for n <= p + 1 (Hurvich and Tsai 1989)


def criteria(log_likelihood: float, entropy: float, n_parameters: int, weight_sum: float) -> Criteria:
    """Return the criteria of a mixture from its total log-likelihood and entropy, in nats."""
    bic = n_parameters * float(np.log(weight_sum)) - 2 * log_likelihood
    aic = 2 * n_parameters - 2 * log_likelihood
    return Criteria(aic=aic, bic=bic, icl=bic + 2 * entropy, aicc=aic + small_sample(n_parameters, weight_sum))


def small_sample(n_parameters: float, weight_sum: float) -> float:
    """Return the correction of AICc to AIC; infinite for n <= p + 1."""
    spare = weight_sum - n_parameters - 1
    return 2 * n_parameters * (n_parameters + 1) / spare if spare > 0 else float("inf")

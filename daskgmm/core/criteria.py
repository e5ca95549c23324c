"""Information criteria, scikit-learn's sign: smaller is better (mclust prints their negatives)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Criteria:
    """What a fit is judged by; n is the sum of the row weights, p the number of free parameters."""

    aic: float  # 2 p - 2 log L (Akaike 1974)
    bic: float  # p log n - 2 log L (Schwarz 1978)
    icl: float  # BIC + 2 x entropy of the responsibilities (Biernacki, Celeux and Govaert 2000)
    aicc: float  # AIC + 2 p (p + 1) / (n - p - 1), infinite for n <= p + 1 (Hurvich and Tsai 1989)


def criteria(log_likelihood: float, entropy: float, n_parameters: int, weight_sum: float) -> Criteria:
    """Return the criteria of a mixture from its total log-likelihood and entropy, in nats."""
    bic = n_parameters * float(np.log(weight_sum)) - 2 * log_likelihood
    aic = 2 * n_parameters - 2 * log_likelihood
    spare = weight_sum - n_parameters - 1
    correction = 2 * n_parameters * (n_parameters + 1) / spare if spare > 0 else float("inf")
    return Criteria(aic=aic, bic=bic, icl=bic + 2 * entropy, aicc=aic + correction)

"""What the candidates of a sweep are compared by, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Criterion = Literal["bic", "aic", "aicc", "icl", "heldout", "evidence"]


@dataclass(frozen=True)
class CriterionKind:
    """One criterion: its words, its direction, and where its values are found."""

    name: Criterion
    title: str
    column: str  # of the table of candidates, which holds its values
    unit: str = ""
    larger_is_better: bool = False
    held_out: bool = False  # whether it is measured on rows that are held out in turn
    of_posterior: bool = False  # whether it is a bound that variational inference raises

    @property
    def direction(self) -> str:
        """The unit and which values are better, for axes and captions."""
        better = f"{'larger' if self.larger_is_better else 'smaller'} is better"
        return f"{self.unit}, {better}" if self.unit else better

    def loss(self, value: float) -> float:
        """Return the value turned so that smaller is better."""
        return -value if self.larger_is_better else value


_KINDS = (
    CriterionKind("bic", "BIC", "bic"),
    CriterionKind("icl", "ICL", "icl"),
    CriterionKind("aic", "AIC", "aic"),
    CriterionKind("aicc", "AICc", "aicc"),
    CriterionKind(
        "heldout", "Log-likelihood of held-out rows", "held_out", "nats per row", larger_is_better=True, held_out=True
    ),
    CriterionKind(
        "evidence", "Evidence lower bound", "evidence_lower_bound", "nats", larger_is_better=True, of_posterior=True
    ),
)
CRITERIA: dict[str, CriterionKind] = {kind.name: kind for kind in _KINDS}
assert set(CRITERIA) == set(get_args(Criterion)), "each name has its line in the table"

"""A sweep comes back from its checkpoint, or is refused in a line."""

import numpy as np
import pytest

from daskgmm.core.em.loop import Trial
from daskgmm.core.init.starts import in_memory
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.selection.sweep import Candidate, initial_sweep
from daskgmm.errors import DataError, SingularCovarianceError
from daskgmm.filesystem.location import resolve_location
from daskgmm.storage.formats.sweep_checkpoint import notes_of, sweep_of
from daskgmm.storage.run.checkpoint import Checkpoint, from_bytes, to_bytes

CANDIDATES = (Candidate(1, "full"), Candidate(2, "full"))
ROWS = np.random.default_rng(0).normal(size=(50, 2))


def kept(n_folds=2):
    """Return a sweep of which one candidate failed, and its checkpoint as it is read."""
    one = Mixture("full", np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    seeds = {"full-1": (Trial(one),), "full-2": SingularCovarianceError("too few rows")}
    sweep = initial_sweep(CANDIDATES, seeds, in_memory(ROWS, None).data_summary, n_folds)
    return sweep, from_bytes(to_bytes(Checkpoint(sweep.states, (), notes_of(sweep))), resolve_location("there"))


def test_a_sweep_comes_back_with_what_failed():
    sweep, checkpoint = kept()
    loaded = sweep_of(checkpoint, CANDIDATES, 2)
    assert list(loaded.states) == list(sweep.states) == ["full-1", "full-1/fold-0", "full-1/fold-1"]
    assert loaded.failures == {"full-2": "too few rows"}
    assert notes_of(loaded) == notes_of(sweep)
    np.testing.assert_array_equal(loaded.data_summary.scatter, sweep.data_summary.scatter)


def test_a_checkpoint_of_other_models_is_refused():
    _, checkpoint = kept()
    for candidates, n_folds in ((CANDIDATES, 3), ((*CANDIDATES, Candidate(3, "full")), 2), (CANDIDATES[1:], 2)):
        with pytest.raises(DataError, match="start over with --overwrite"):
            sweep_of(checkpoint, candidates, n_folds)


@pytest.mark.parametrize("notes", [{}, {"held_out": {}, "failures": {}, "seconds": {"a": "long"}, "iteration": 1}])
def test_a_checkpoint_without_the_notes_of_a_sweep_is_refused(notes):
    _, checkpoint = kept()
    with pytest.raises(DataError, match="is that of no sweep") as refusal:
        sweep_of(Checkpoint(checkpoint.states, (), notes), CANDIDATES, 2)
    assert "\n" not in str(refusal.value)

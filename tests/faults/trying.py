"""One try of a fault, held against a fit without any."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..clusters.processes import assert_all_end
from .faults import Fault
from .trial import Outcome, assert_same_results, make_rows, prepared, run


@dataclass(frozen=True)
class Reference:
    """The rows, and what a fit without faults makes of them with the threads of one process."""

    folder: Path
    expected: Outcome

    @property
    def data(self) -> Path:
        return self.folder / "data"


@contextmanager
def reference() -> Iterator[Reference]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        make_rows(folder / "data")
        with prepared(folder, folder / "data", name) as trial:
            expected = run(trial, folder, {"kind": "threads", "n_workers": 2}, name)
        assert expected.code == 0, expected.stderr
        yield Reference(folder, expected)


def tried(fault: Fault, reference: Reference, folder: Path) -> Outcome:
    """Return how a fit with the fault ended, once it is found to have ended as it must."""
    mark = str(folder)
    with prepared(folder, reference.data, mark) as trial:
        cluster = dict(fault.cluster)
        if cluster["kind"] == "address":
            trial.cluster.start(fault.n_workers, *fault.workers)
            cluster["scheduler_file"] = str(trial.cluster.scheduler_file)
        fault.inject(trial, reference.expected.n_reads)
        outcome = run(trial, folder, cluster, mark, fault.persist)
        if fault.damage is not None:
            fault.damage(outcome.directory)
            outcome = run(trial, folder, cluster, mark, fault.persist, "--resume")
        hit = trial.hit_at is not None
    assert hit, f"the fault was not made: {outcome}"
    assert_ended(fault, reference, outcome)
    assert_all_end(mark)
    return outcome


def assert_ended(fault: Fault, reference: Reference, outcome: Outcome) -> None:
    assert outcome.code is not None, f"it hangs: {outcome}"
    if fault.message is None:
        assert outcome.code == 0, outcome
        assert_same_results(outcome.directory, reference.expected.directory)
        return
    assert outcome.code == fault.code, outcome
    if fault.code < 0:  # it had no time to say anything; multiprocessing's helper may
        return
    assert outcome.stderr.startswith("daskgmm: "), outcome.stderr
    assert outcome.stderr.count("\n") == 1, outcome.stderr
    assert fault.message in outcome.stderr, outcome.stderr

"""Checkpoints hold the state of the loop bit for bit, and are whole or not there."""

import json
import os
import signal
import threading
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from daskgmm.cli.signals import Interrupted, raise_signals
from daskgmm.core.em.anderson import Step
from daskgmm.core.em.loop import State, StopReason, Trial
from daskgmm.core.mixture.covariance import STRUCTURES
from daskgmm.core.mixture.data_summary import DataSummary
from daskgmm.core.mixture.feature_map import FeatureMap
from daskgmm.core.mixture.mixture import Mixture
from daskgmm.core.mixture.noise import Noise
from daskgmm.core.mixture.statistics import Statistics
from daskgmm.errors import DataError
from daskgmm.events import Iteration
from daskgmm.filesystem.location import resolve_location
from daskgmm.storage.run.checkpoint import Checkpoint, from_bytes, load_checkpoint, save_checkpoint, to_bytes
from daskgmm.storage.run.checkpoint_policy import keep_checkpoints
from daskgmm.storage.run.staging import Unfinished

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)


def floats(*shape):
    return arrays(np.float64, shape, elements=FLOATS)


@st.composite
def mixtures(draw, kind, k, d):
    covariances = draw(floats(*STRUCTURES[kind].layout.shape(k, d)))
    if draw(st.booleans()):
        covariances = np.asfortranarray(covariances)
    corners = tuple(map(float, range(d))), tuple(map(float, range(1, d + 1)))
    box = draw(st.none() | st.just(corners))
    noise = draw(st.none() | st.builds(Noise, st.floats(0, 1), st.floats(-9, 9), st.just(box)))
    frozen = draw(st.sampled_from([(), (0,), tuple(range(k))]))
    return Mixture(kind, draw(floats(k)), draw(floats(k, d)), covariances, noise, frozen)


@st.composite
def trials(draw, d):
    k, kind = draw(st.integers(1, 3)), draw(st.sampled_from(sorted(STRUCTURES)))
    mixture = draw(mixtures(kind, k, d))
    n_columns = FeatureMap.FULL.n_columns(d)
    numbers = (draw(FLOATS), draw(FLOATS), draw(FLOATS), draw(st.booleans()))
    statistics = draw(st.none() | st.just(Statistics(draw(floats(len(mixture.all_weights), n_columns)), *numbers)))
    history, stop = draw(st.lists(FLOATS, max_size=4)), draw(st.sampled_from([None, *StopReason]))
    steps = draw(st.lists(st.builds(Step, st.just(mixture), mixtures(kind, k, d), st.booleans()), max_size=2))
    flags = draw(st.booleans()), draw(st.booleans()), draw(st.integers(0, 9))
    overfit, counts = draw(st.floats(0, allow_nan=False)), st.integers(0, 9)
    more = draw(counts), draw(st.booleans()), draw(counts)
    proposal = draw(st.none() | mixtures(kind, k, d))
    return Trial(mixture, tuple(history), statistics, stop, tuple(steps), proposal, *flags, overfit, *more)


@st.composite
def states(draw):
    d = draw(st.integers(1, 3))
    bad = (draw(st.integers(0, 9)), draw(st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9))))
    data_summary = DataSummary(
        draw(st.integers(0, 2**40)), draw(FLOATS), *(draw(floats(d)) for _ in range(2)), draw(floats(d, d)),
        *(draw(floats(d)) for _ in range(3)), *bad, draw(st.integers(0, 9)),
        draw(st.none() | st.tuples(st.integers(0, 9), st.floats(allow_nan=False))),
    )  # fmt: skip
    return State(data_summary, tuple(draw(st.lists(trials(d), max_size=3))), draw(st.integers(0, 10**6)))


def assert_same(one, other, where="state"):
    """Equal to the last bit, with arrays in the same order."""
    if is_dataclass(one):
        assert type(one) is type(other), where
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, np.ndarray):
        assert (one.shape, one.dtype) == (other.shape, other.dtype), where
        assert one.tobytes("C") == other.tobytes("C"), where
        assert one.flags.c_contiguous == other.flags.c_contiguous, where
    elif isinstance(one, tuple):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{i}]")
    elif isinstance(one, float) and np.isnan(one):
        assert np.isnan(other), where  # of which JSON knows one only
    elif isinstance(one, float):
        np.testing.assert_array_equal(np.float64(one).view(np.uint64), np.float64(other).view(np.uint64), where)
    else:
        assert one == other or (isinstance(one, Enum) and one is other), where


NOTES = st.dictionaries(
    st.sampled_from(["held_out", "failures", "seconds"]),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.floats(allow_nan=False), max_size=3),
)


@given(st.dictionaries(st.text(max_size=5), states(), max_size=2), st.lists(st.text(max_size=9)), NOTES)
def test_a_checkpoint_gives_the_states_back_bit_for_bit(by_name, lines, notes):
    loaded = from_bytes(to_bytes(Checkpoint(by_name, tuple(lines), notes)), resolve_location("there"))
    assert loaded.metrics == tuple(lines)
    assert loaded.notes == notes
    assert list(loaded.states) == list(by_name)
    for name, state in by_name.items():
        assert_same(state, loaded.states[name])


def state(iteration, k=2, d=3):
    rng = np.random.default_rng(iteration)
    data_summary = DataSummary(
        9, 9.0, *(rng.random(d) for _ in range(2)), rng.random((d, d)), *(rng.random(d) for _ in range(3))
    )
    mixture = Mixture("full", rng.random(k), rng.random((k, d)), rng.random((k, d, d)))
    return State(data_summary, (Trial(mixture),), iteration)


def checkpoint(iteration, **sizes):
    return Checkpoint({"fit": state(iteration, **sizes)}, (f"line {iteration}\n",))


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    """A folder on this machine, and one behind an fsspec URL."""
    return (
        resolve_location(tmp_path / "run")
        if request.param == "local"
        else resolve_location(f"memory://{tmp_path.name}/checkpoints")
    )


def test_the_last_two_are_kept_and_the_newest_is_read(folder):
    assert load_checkpoint(folder) is None
    for iteration in range(5):
        save_checkpoint(folder, checkpoint(iteration))
    assert sorted(one.name for one in folder.iterdir()) == ["00000004.checkpoint", "00000005.checkpoint"]
    assert load_checkpoint(folder).iteration == 4
    assert load_checkpoint(folder).metrics == ("line 4\n",)


def test_arrays_that_states_share_are_written_and_read_once():
    one = state(3, d=40)
    two = State(one.data_summary, (Trial(one.trials[0].mixture), *state(4, d=40).trials), 2)
    written = to_bytes(Checkpoint({"one": one, "two": two}))
    alone = to_bytes(Checkpoint({"two": two}))
    assert len(written) < 1.05 * len(alone) + 2000
    loaded = from_bytes(written, resolve_location("there"))
    assert_same(loaded.states["two"], two)
    assert_same(loaded.states["one"], one)
    assert loaded.states["one"].data_summary is loaded.states["two"].data_summary


def test_the_notes_tell_the_iteration_where_no_state_takes_part_in_all():
    assert Checkpoint({"fit": state(3)}).iteration == 3
    assert (
        from_bytes(to_bytes(Checkpoint({"fit": state(3)}, (), {"iteration": 8})), resolve_location("there")).iteration
        == 8
    )


DAMAGES = {
    "a byte": lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
    "a digit of the header": lambda data: data.replace(b'"iteration": 7', b'"iteration": 8'),
    "its end": lambda data: data[:-1],
    "all": lambda data: b"",
    "its checksum": lambda data: data.replace(b"checkpoint ", b"checkpoint 0", 1),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_the_one_before_a_damaged_one_is_taken_and_told(folder, damage):
    save_checkpoint(folder, checkpoint(6))
    newest = save_checkpoint(folder, checkpoint(7))
    newest.write_bytes(damage(newest.read_bytes()))
    heard = []
    assert load_checkpoint(folder, heard.append).iteration == 6
    (notice,) = heard
    assert notice.message == f"{newest} is damaged: its content and its checksum differ; the one before it is taken"


def test_none_is_given_where_all_are_damaged(folder):
    for iteration in (1, 2):
        save_checkpoint(folder, checkpoint(iteration)).write_bytes(b"daskgmm checkpoint")
    heard = []
    assert load_checkpoint(folder, heard.append) is None
    assert [one.message.rpartition("; ")[2] for one in heard] == ["the one before it is taken", "there is no other"]


def forged(change):
    """Return a checkpoint with another header under the right checksum."""
    _, header, arrays = to_bytes(checkpoint(3)).split(b"\n", 2)
    document = json.loads(header)
    change(document["states"]["fit"], document)
    content = json.dumps(document).encode() + b"\n" + arrays
    return b"daskgmm checkpoint " + sha256(content).hexdigest().encode() + b"\n" + content


FORGERIES = {
    "a huge array": lambda fit, header: fit["trials"][0]["means"].update(shape=[2**40, 3]),
    "a negative size": lambda fit, header: fit["survey"]["origin"].update(shape=[-3]),
    "a place outside": lambda fit, header: fit["survey"]["origin"].update(at=10**9),
    "a place before": lambda fit, header: fit["survey"]["origin"].update(at=-8),
    "a size in words": lambda fit, header: fit["survey"]["origin"].update(shape=["3"]),
    "sizes that disagree": lambda fit, header: fit["trials"][0]["weights"].update(shape=[1]),
    "an unknown structure": lambda fit, header: fit["trials"][0].update(covariance_type="__class__"),
    "an unknown reason": lambda fit, header: fit["trials"][0].update(stop="mro"),
    "no data summary": lambda fit, header: fit.pop("survey"),
    "no states": lambda fit, header: header.update(states=[1]),
    "notes in words": lambda fit, header: header.update(notes="many"),
    "another format": lambda fit, header: header.update(daskgmm_format=99),
    "another kind": lambda fit, header: header.update(daskgmm_kind="model"),
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_checkpoint_is_an_error_of_one_line(change):
    with pytest.raises(DataError, match="there") as refusal:
        from_bytes(forged(change), resolve_location("there"))
    assert "\n" not in str(refusal.value)


def test_checkpoints_are_told_apart_from_what_a_killed_process_had_begun(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    (tmp_path / ".00000002.checkpoint.abcd.tmp").write_bytes(b"half")
    assert load_checkpoint(tmp_path).iteration == 1
    save_checkpoint(tmp_path, checkpoint(2))
    assert len(list(tmp_path.iterdir())) == 2


def ignore_events(event):
    """Listen to nothing."""


def interrupted(folder, n_states, every=1):
    """Keep states, the metrics of one more, and be interrupted."""
    with keep_checkpoints(Unfinished(folder), every, ignore_events) as checkpoints:
        for iteration in range(n_states):
            checkpoints.metrics(Iteration(iteration, 0.0, 0.0, None, None, 1.0, 1.0, 1, ()))
            checkpoints.keep({"fit": state(iteration)})
        checkpoints.metrics(Iteration(n_states, 0.0, 0.0, None, None, 1.0, 1.0, 1, ()))
        raise KeyboardInterrupt


def test_an_interruption_writes_what_was_kept_last(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path, 5)
    loaded = load_checkpoint(tmp_path / "checkpoint")
    assert loaded.iteration == 4
    assert [json.loads(line)["iteration"] for line in loaded.metrics] == list(range(5))
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 6
    with keep_checkpoints(Unfinished(tmp_path, going_on=True), 1, ignore_events) as checkpoints:
        assert_same(checkpoints.before.states["fit"], state(4))
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 5


def test_no_checkpoint_is_written_where_none_is_wanted(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path, 5, every=0)
    assert [one.name for one in tmp_path.iterdir()] == ["metrics.jsonl"]


def terminated(folder, delay, *kept):
    """Keep what is given, and be terminated after a delay."""
    killer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGTERM))
    with raise_signals(), keep_checkpoints(Unfinished(folder), 1, ignore_events) as checkpoints:
        checkpoints.keep({"fit": kept[0]})
        killer.start()
        for one in kept[1:]:
            checkpoints.keep({"fit": one})
            checkpoints.write()
        threading.Event().wait(60)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03, 0.1])
def test_a_signal_waits_for_the_checkpoint_that_is_being_written(tmp_path, delay):
    """States are large, so that the signal comes while one is written; what is left is whole, and one of them."""
    kept = [state(iteration, k=80, d=100) for iteration in range(3)]
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        terminated(tmp_path, delay, *kept)
    names = [one.name for one in (tmp_path / "checkpoint").iterdir()]
    assert all(name.endswith(".checkpoint") and not name.startswith(".") for name in names)
    heard = []
    loaded = load_checkpoint(tmp_path / "checkpoint", heard.append)
    assert_same(loaded.states["fit"], kept[loaded.iteration])
    assert heard == []

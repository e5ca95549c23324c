"""Labelled rows in jobs: every kind of source that names weights names labels, with the same checks."""

import numpy as np
import pandas as pd
import pytest
import zarr

from daskgmm import GaussianMixture
from daskgmm.config import parse_config
from daskgmm.errors import ConfigurationError, DataError
from daskgmm.events import Iteration, Listener
from daskgmm.jobs.fit import fit
from daskgmm.jobs.select import select
from tests.estimators.test_labels import IRIS, LABELS

NAMES = list("abcd")


def config(tmp_path, data, *overrides):
    text = f"data: {{{data}}}\nmodel: {{n_components: 3}}\noutput: {{directory: {tmp_path / 'run'}, report: false}}"
    return parse_config(text, overrides)


def stored(tmp_path, kind, labels=LABELS):
    """Store iris with labels as a kind of source; return the section data."""
    path = tmp_path / f"rows.{kind}"
    if kind == "npy":
        np.save(path, IRIS)
        np.save(tmp_path / "known.npy", labels)
        return f"path: {path}, labels: {tmp_path / 'known.npy'}"
    if kind == "zarr":
        group = zarr.create_group(str(path))
        group.create_array("rows", data=IRIS)
        group.create_array("known", data=labels)
        return f"path: {path}, array: rows, labels: known"
    table = pd.DataFrame(IRIS, columns=NAMES).assign(known=labels)
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path, index=False)
    return f"path: {path}, labels: known"


@pytest.mark.parametrize("kind", ["npy", "zarr", "csv", "parquet"])
def test_a_job_fits_labelled_rows_of_each_kind_of_source(tmp_path, kind):
    mixture = fit(config(tmp_path, stored(tmp_path, kind))).mixture
    expected = GaussianMixture(3, random_state=0).fit(IRIS, LABELS)
    np.testing.assert_allclose(mixture.means, expected.means_, atol=1e-2)


def test_a_finished_fit_stays_and_one_that_is_run_again_has_the_same_bits(tmp_path):
    data = stored(tmp_path, "npy")
    one = fit(config(tmp_path, data))
    np.testing.assert_array_equal(fit(config(tmp_path, data), resume=True).mixture.means, one.mixture.means)
    np.testing.assert_array_equal(fit(config(tmp_path, data), overwrite=True).mixture.means, one.mixture.means)


STREAMED = (
    "fit.sample_size=40",
    "fit.n_init=1",
    "fit.tol=1e-12",
    "fit.max_iter=5",
    "compute.persist=false",
    "compute.chunk_bytes=1600",
)
GAPS = ("data.missing=marginal",)


def after_first_pass(act) -> Listener:
    return lambda event: act() if isinstance(event, Iteration) and event.iteration == 1 else None


def with_gap(rows):
    """Return the rows with a labelled one that lacks a value."""
    gappy = rows.copy()
    gappy[np.flatnonzero(LABELS >= 0)[0], 1] = np.nan
    return gappy


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("gaps", [(), GAPS])
@pytest.mark.parametrize(
    ("file", "change", "what"),
    [
        ("known.npy", lambda labels: np.where(labels == 1, 2, labels), r"labels of rows \[\d+:\d+\]"),
        ("known.npy", lambda labels: np.full_like(labels, -1), r"labels of rows \[\d+:\d+\]"),
        ("rows.npy", lambda rows: rows[::-1], r"rows \[\d+:\d+\]"),
    ],
)
def test_labels_and_rows_that_change_while_a_job_reads_them_end_it(tmp_path, gaps, file, change, what):
    data, stored_file = stored(tmp_path, "npy"), tmp_path / file
    if gaps:
        np.save(tmp_path / "rows.npy", with_gap(IRIS))
    settings, before = config(tmp_path, data, *STREAMED, *gaps), np.load(stored_file)
    whole = fit(config(tmp_path, data, *STREAMED, *gaps, f"output.directory={tmp_path / 'whole'}"))
    with pytest.raises(DataError, match=f"^{what} of the data are not what they were when they were read first"):
        fit(settings, after_first_pass(lambda: np.save(stored_file, change(before))))
    with pytest.raises((ConfigurationError, DataError)):
        fit(settings, resume=True)
    np.save(stored_file, before)
    np.testing.assert_array_equal(fit(settings, resume=True).mixture.means, whole.mixture.means)


def test_other_labels_under_the_same_name_are_not_gone_on_with(tmp_path):
    settings = config(tmp_path, stored(tmp_path, "npy"), *STREAMED)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(settings, after_first_pass(stop))
    np.save(tmp_path / "known.npy", np.where(LABELS == 1, 2, LABELS))
    with pytest.raises(ConfigurationError, match="its labels was"):
        fit(settings, resume=True)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.where(LABELS == 2, 1.5, LABELS), "has the label 1.5: labels are numbers of components"),
        (np.where(LABELS == 2, np.nan, LABELS), "has the label nan: labels are numbers of components"),
        (np.where(LABELS == 2, 7, LABELS), "has the label 7: labels are numbers of components, 0 to 2, or -1"),
        (np.maximum(LABELS, 0), "all rows of positive weight have labels"),
        (LABELS[:99], "has the shape"),
    ],
)
def test_labels_that_cannot_be_are_refused(tmp_path, labels, message):
    with pytest.raises(DataError, match=message):
        fit(config(tmp_path, stored(tmp_path, "npy", labels)))


def test_labels_of_factor_analysers_or_in_a_sweep_are_refused(tmp_path):
    data = stored(tmp_path, "npy")
    with pytest.raises(ConfigurationError, match="labelled rows are not for covariance_type low_rank"):
        config(tmp_path, data, "model.covariance_type=low_rank", "model.n_factors=2")
    with pytest.raises(ConfigurationError, match="is for daskgmm fit"):
        select(config(tmp_path, data))

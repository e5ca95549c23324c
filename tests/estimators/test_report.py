"""The report of an estimator."""

import numpy as np
import pytest

from daskgmm import GaussianMixture, GaussianMixtureSelector
from daskgmm.errors import DataError
from tests.report.html.test_page import Checked

X = np.concatenate([np.random.default_rng(0).normal(size=(150, 2)) + centre for centre in (0, 7)])


@pytest.fixture(scope="module")
def fitted():
    return GaussianMixture(2, n_init=1, random_state=3).fit(X)


def text_of(path):
    return " ".join("".join(Checked(path.read_text(encoding="utf-8")).text).split())


def test_a_report_tells_of_the_fit_and_its_rows_and_of_no_job(fitted, tmp_path):
    fitted.report(X, tmp_path / "page.html")
    text = text_of(tmp_path / "page.html")
    assert "2 clusters in 300 rows" in text
    assert f"{fitted.bic(X):,.3f}" in text
    assert "with 300 sampled rows" in text
    assert "numpy.ndarray" in text
    assert "random_state: 3" in text
    assert "model.report(X, path)" in text
    for missing in ("the whole job", "The job", "RUN_DIR", "None"):
        assert missing not in text.partition("Configuration")[0] + text.partition("Made by")[2]


def test_the_figures_show_as_many_rows_as_are_asked_for(fitted, tmp_path):
    fitted.report(X, tmp_path / "page.html", n_rows=40)
    assert "of 40 sampled rows" in text_of(tmp_path / "page.html")
    with pytest.raises(ValueError, match="n_rows"):
        fitted.report(X, tmp_path / "page.html", n_rows=0)


def test_a_selector_reports_its_best_candidate(tmp_path):
    selector = GaussianMixtureSelector([1, 2], covariance_type="diag", random_state=0).fit(X)
    selector.report(X, tmp_path / "page.html")
    assert "A mixture of 2 Gaussians of diag covariance" in text_of(tmp_path / "page.html")


def test_rows_with_other_features_are_refused(fitted, tmp_path):
    with pytest.raises((ValueError, DataError)):
        fitted.report(X[:, :1], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()

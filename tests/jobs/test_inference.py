"""Jobs with priors and posteriors: what is stored, what is resumed, and what is refused."""

import io
import json

import numpy as np
import pytest
import zarr
from rich.console import Console

from daskgmm import load_model
from daskgmm.config import parse_config
from daskgmm.errors import ConfigurationError
from daskgmm.events import Iteration
from daskgmm.jobs.fit import fit
from daskgmm.jobs.select import select
from daskgmm.report.terminal.model_tables import inspection


@pytest.fixture
def rows(tmp_path):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=(400, 2)), rng.normal(size=(400, 2)) * 0.5 + 5])
    stored = zarr.create_array(str(tmp_path / "rows.zarr"), shape=values.shape, chunks=(200, 2), dtype="f8")
    stored[:] = rng.permutation(values)
    return tmp_path


def config(folder, inference, run="run", **model):
    text = {
        "data": {"path": str(folder / "rows.zarr")},
        "model": {"n_components": 4, **model},
        "fit": {"inference": inference},
        "output": {"directory": str(folder / run), "report": False},
    }
    return parse_config(json.dumps(text))


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("weights", ["dirichlet_process", "dirichlet_distribution"])
def test_the_posterior_is_stored_beside_the_mixture_of_its_means(rows, weights):
    model = fit(config(rows, "variational", prior={"weights": weights, "weight_concentration": 0.1}))
    again = load_model(rows / "run")
    assert again.summary.evidence_lower_bound == model.summary.evidence_lower_bound < 0
    np.testing.assert_array_equal(again.mixture.weights, model.mixture.weights)
    np.testing.assert_array_equal(again.state.weights, model.posterior.shares)
    np.testing.assert_array_equal(again.posterior.weight_concentration, model.posterior.weight_concentration)
    np.testing.assert_array_equal(again.posterior.mean_precision, model.posterior.mean_precision)
    np.testing.assert_array_equal(again.posterior.degrees_of_freedom, model.posterior.degrees_of_freedom)
    assert (model.mixture.weights > 0.01).sum() == 2
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(inspection(again, 100))
    assert "components in use" in console.export_text()
    assert again.posterior.n_in_use(800.0) == 2


@pytest.mark.slow
def test_a_fit_from_a_posterior_starts_where_it_ended(rows):
    first = fit(config(rows, "variational"))
    second = config(rows, "variational", "second")
    second = second.model_copy(update={"fit": type(second.fit)(start=str(rows / "run"), inference="variational")})
    again = fit(second)
    assert again.summary.evidence_lower_bound >= first.summary.evidence_lower_bound
    assert again.summary.evidence_lower_bound == pytest.approx(first.summary.evidence_lower_bound, abs=0.1)


@pytest.mark.slow
def test_map_keeps_the_objective_apart_from_the_log_likelihood(rows):
    model = fit(config(rows, "map", prior="default"))
    summary = load_model(rows / "run").summary
    assert summary.objective is not None
    assert summary.objective != summary.log_likelihood
    assert model.posterior is None


@pytest.mark.parametrize(
    ("inference", "model", "message"),
    [
        ("em", {"prior": "default"}, "acts with fit.inference map or variational"),
        ("variational", {"covariance_type": "VEV"}, "full, tied, diag and spherical"),
        ("map", {"prior": {"weights": "dirichlet_process"}}, "variational only"),
        ("map", {"prior": {"weight_concentration": 0.5}}, "no mode below 1"),
        ("variational", {"prior": {"mean_precision": 0.0}}, "above 0"),
    ],
)
def test_a_prior_that_cannot_act_is_refused(rows, inference, model, message):
    with pytest.raises(ConfigurationError, match=message):
        config(rows, inference, **model)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"degrees_of_freedom": 0.5}, "above 1 for 2 features"),
        ({"mean": [1.0]}, "1 numbers, but there are 2"),
        ({"covariance": [[1.0, 2.0], [2.0, 1.0]]}, "positive definite"),
    ],
)
def test_a_prior_of_another_number_of_features_is_refused(rows, prior, message):
    with pytest.raises(ConfigurationError, match=message):
        fit(config(rows, "variational", prior=prior))


@pytest.mark.parametrize(("inference", "criterion"), [("map", "bic"), ("variational", "bic"), ("em", "evidence")])
def test_a_sweep_whose_criterion_does_not_compare_what_is_inferred_is_refused(rows, inference, criterion):
    asked = config(rows, inference)
    asked = asked.model_copy(update={"select": type(asked.select)((1, 2), "full", criterion=criterion)})
    with pytest.raises(ConfigurationError, match="a sweep compares posteriors"):
        select(asked)


@pytest.mark.slow
def test_a_sweep_of_posteriors_goes_on_to_the_same_bits(rows):
    asked = config(rows, "variational", prior={"weight_concentration": 0.1})
    options = type(asked.select)((1, 2, 3), ("full", "diag"), criterion="evidence")
    asked = asked.model_copy(update={"select": options})
    stopped = parse_config(
        json.dumps({**asked.model_dump(mode="json"), "output": {"directory": str(rows / "stopped")}})
    )

    def stop(event):
        if isinstance(event, Iteration) and event.iteration >= 2:
            raise KeyboardInterrupt

    model, table = select(asked)
    with pytest.raises(KeyboardInterrupt):
        select(stopped, stop)
    again, other = select(stopped, resume=True)
    np.testing.assert_array_equal(again.mixture.covariances, model.mixture.covariances)
    assert [row.criterion for row in other.rows] == [row.criterion for row in table.rows]
    assert table.criterion == "evidence"
    assert model.summary.evidence_lower_bound == pytest.approx(table.chosen.criterion, rel=1e-12)
    assert "Evidence lower bound" in (rows / "stopped/report.html").read_text()


@pytest.mark.slow
def test_posteriors_of_streamed_rows_have_the_same_bits(rows):
    asked = config(rows, "variational")
    streamed = asked.model_copy(update={"compute": type(asked.compute)(persist=False)})
    first, second = fit(asked), fit(streamed, overwrite=True)
    np.testing.assert_array_equal(first.mixture.covariances, second.mixture.covariances)
    assert first.summary.evidence_lower_bound == second.summary.evidence_lower_bound


@pytest.mark.slow
def test_the_bound_of_weighted_rows_is_that_of_repeated_ones(rows):
    weights = np.arange(800) % 3
    stored, folder = zarr.open_array(str(rows / "rows.zarr"))[:], rows / "repeated"
    zarr.save_group(str(rows / "weighted.zarr"), rows=stored, weights=weights.astype(float))
    zarr.save_array(str(folder / "rows.zarr"), np.repeat(stored, weights, axis=0))
    asked = config(rows, "variational").model_dump(mode="json")
    data = {"path": str(rows / "weighted.zarr"), "array": "rows", "weights": "weights"}
    weighted = fit(parse_config(json.dumps({**asked, "data": data})))
    repeated = fit(config(folder, "variational"))
    bounds = weighted.summary.evidence_lower_bound, repeated.summary.evidence_lower_bound
    assert bounds[0] == pytest.approx(bounds[1], abs=0.5)

"""What is refused for its memory, and what is named in its place."""

import re

import pytest

from daskgmm.core.options.fit import ModelOptions
from daskgmm.core.options.reduce import Reduce
from daskgmm.errors import ConfigurationError
from daskgmm.fitting.width import FitConditions, Width, check_width, machine_bytes, narrower

TOO_MANY = machine_bytes() // (3 * 8 * 1024**2) + 1  # components of full covariances of 1,024 features


def refusal(model, n_features):
    with pytest.raises(ConfigurationError) as caught:
        check_width(model, n_features, FitConditions())
    return str(caught.value)


def names(n_features, **options):
    return [one.name for one in narrower(Width(ModelOptions(**options), n_features))]


def test_what_is_named_in_place_of_a_refused_mixture_is_not_refused_and_one_component_more_is():
    text = refusal(ModelOptions(TOO_MANY), 1024)
    assert "\n" not in text
    for one in narrower(Width(ModelOptions(TOO_MANY), 1024)):
        assert one.name in text
        check_width(one.model, one.n_features, FitConditions())
    few = int(re.search(r"at most (\d+) components", text)[1])
    check_width(ModelOptions(few), 1024, FitConditions())
    refusal(ModelOptions(few + 1), 1024)


def test_models_that_this_machine_cannot_hold_either_are_not_named():
    text = refusal(ModelOptions(machine_bytes()), 1024)
    assert re.search(r": take at most \d+ components$", text)
    assert refusal(ModelOptions(1, resolution=0.5), machine_bytes()).endswith("take fewer features")


@pytest.mark.parametrize(
    ("n_features", "options", "expected"),
    [
        (1024, {}, ["low_rank with n_factors 16", "reduce to 50 features", "diag"]),
        (
            1024,
            {"covariance_type": "low_rank", "n_factors": 32},
            ["low_rank with n_factors 16", "reduce to 50", "diag"],
        ),
        (1024, {"covariance_type": "low_rank", "n_factors": 2}, ["reduce to 50 features", "diag"]),
        (1024, {"covariance_type": "diag"}, ["reduce to 50 features"]),
        (1024, {"noise": True}, ["reduce to 50 features", "diag"]),
        (1024, {"resolution": 0.5}, ["low_rank with n_factors 16", "diag"]),
        (50, {"reduce": Reduce(50)}, ["low_rank with n_factors 16", "diag"]),
        (8, {}, ["diag"]),
    ],
)
def test_narrower_models_hold_less_and_go_with_the_other_options(n_features, options, expected):
    found = names(n_features, **options)
    assert len(found) == len(expected)
    assert all(name.startswith(start) for name, start in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("conditions", "model", "expected"),
    [
        (FitConditions(missing=True), ModelOptions(), ["diag"]),
        (FitConditions(inference="map"), ModelOptions(), ["diag"]),
        (FitConditions(labelled=True), ModelOptions(), ["reduce to 50 features", "diag"]),
        (FitConditions(missing=True), ModelOptions(covariance_type="diag"), []),
    ],
)
def test_models_are_named_only_if_they_go_with_the_rest_of_the_fit(conditions, model, expected):
    assert [one.name for one in narrower(Width(model, 1024, conditions))] == expected

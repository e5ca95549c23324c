"""Types of public options: mypy finds a misspelt value where the package is used."""

import subprocess
import sys

import pytest

PROGRAM = """
from daskgmm import BayesianGaussianMixture, GaussianMixture, GaussianMixtureSelector
from daskgmm.core.options.fit import FitOptions, ModelOptions

GaussianMixture(3, covariance_type="tied", missing="marginal", dtype="float32", persist="auto", sample_size=1000)
GaussianMixture(resolution=[0.1, 0.2], prior={"mean_precision": 1.0}, init_params="k-means++", factor_noise="common")
BayesianGaussianMixture(covariance_type="diag", weight_concentration_prior_type="dirichlet_process")
GaussianMixtureSelector(range(1, 4), covariance_type=("full", "E*"), criterion="icl", noise=[False, True])
"""
MISSPELT = [
    'GaussianMixture(covariance_type="ful")',
    'GaussianMixture(init_params="kmean")',
    'GaussianMixture(missing="marginalise")',
    'GaussianMixture(dtype="float16")',
    'GaussianMixture(persist="yes")',
    'GaussianMixture(sample_size="all")',
    'GaussianMixture(factor_noise="owned")',
    'GaussianMixture(resolution="automatic")',
    'GaussianMixture(prior="mclust")',
    'BayesianGaussianMixture(covariance_type="VVV")',
    'BayesianGaussianMixture(weight_concentration_prior_type="dirichlet")',
    'GaussianMixtureSelector(criterion="BIC")',
    'ModelOptions(covariance_type="ful")',
    'FitOptions(init_params="kmean")',
]


@pytest.mark.slow
def test_mypy_finds_a_misspelt_option(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM + "\n".join(MISSPELT) + "\n")
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)]
    found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    first = PROGRAM.count("\n") + 1
    errors = [line for line in found.splitlines() if line.startswith(str(program)) and ": error:" in line]
    lines = [int(line.split(":")[1]) for line in errors]
    assert lines == list(range(first, first + len(MISSPELT))), found

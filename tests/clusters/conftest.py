"""What the tests of clusters share: the model that each of them has to give."""

from __future__ import annotations

import pytest

from daskgmm.core.em.fitted_model import Model

from .processes import fitted


@pytest.fixture(scope="session")
def model_of_threads(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return fitted(tmp_path_factory.mktemp("threads"), {"kind": "threads", "n_workers": 2})

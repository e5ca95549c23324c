import numpy as np
import pytest
import zarr

from daskgmm.core.expectation import Prediction
from daskgmm.storage.results import ResultLayout, result_writer
from daskgmm.storage.schema import labels_spec

LAYOUT = ResultLayout(grid=(4, 6), chunks=(2, 6), n_components=3, labels=True, probabilities=True, log_density=True)
REGIONS = [(slice(0, 2), slice(0, 6)), (slice(2, 4), slice(0, 6))]


def prediction(seed):
    rng = np.random.default_rng(seed)
    return Prediction(rng.integers(3, size=12, dtype=np.int32), rng.random((12, 3)), rng.random(12))


def test_regions_land_where_they_belong(tmp_path):
    predictions = [prediction(0), prediction(1)]
    with result_writer(tmp_path, LAYOUT, {"source": "here"}) as write:
        for region, one in zip(REGIONS, predictions, strict=True):
            write(region, one)
    for name, shape in (("labels", (4, 6)), ("probabilities", (4, 6, 3)), ("log_density", (4, 6))):
        group = zarr.open_group(str(tmp_path / f"{name}.zarr"), mode="r")
        expected = np.concatenate([getattr(one, name) for one in predictions]).reshape(shape)
        np.testing.assert_array_equal(group[name][...], expected.astype(group[name].dtype))
        assert group[name].metadata.dimension_names[:2] == ("axis_0", "axis_1")
        assert group.attrs["source"] == "here"


def test_an_error_leaves_nothing(tmp_path):
    def fail():
        with result_writer(tmp_path, LAYOUT, {}) as write:
            write(REGIONS[0], prediction(0))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_only_what_is_wanted_is_written(tmp_path):
    layout = ResultLayout((4, 6), (2, 6), 3, labels=False, probabilities=False, log_density=True)
    with result_writer(tmp_path, layout, {}) as write:
        write(REGIONS[0], prediction(0))
    assert [one.name for one in tmp_path.iterdir()] == ["log_density.zarr"]
    assert np.isnan(zarr.open_array(str(tmp_path / "log_density.zarr"), path="log_density")[2:]).all()


@pytest.mark.parametrize(
    ("k", "dtype"), [(1, "int8"), (128, "int8"), (129, "int16"), (32768, "int16"), (32769, "int32")]
)
def test_labels_take_the_smallest_type_that_holds_them(k, dtype):
    assert labels_spec(k).dtype == dtype

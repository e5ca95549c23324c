import pickle
import sys

import numpy as np
import pytest
import zarr

from daskgmm.errors import DaskGMMError, DataError
from daskgmm.filesystem.retry import RetryPolicy
from daskgmm.sources import DataOptions, open_source

HASTY = RetryPolicy(attempts=3, first_wait=0.01, longest_wait=0.02, jitter=0.0)
VALUES = np.random.default_rng(0).standard_normal((100, 3))
PART = (slice(10, 70), slice(None))


@pytest.fixture(params=[2, 3])
def bucket_path(s3, request):
    """A group with pixels and w in the bucket, in both formats."""
    url = f"{s3.url}/format-{request.param}.zarr"
    fill(zarr.create_group(url, zarr_format=request.param, storage_options=s3.storage_options, overwrite=True))
    return url


@pytest.fixture
def web_path(web, tmp_path):
    fill(zarr.create_group(str(tmp_path / "a.zarr")))
    return f"{web.url}/a.zarr"


def fill(group):
    group.create_array("pixels", data=VALUES, chunks=(30, 3))
    group.create_array("w", data=np.arange(100.0))


def failure(options):
    """Open with few retries, or read everything; return the one line that this must raise."""
    with pytest.raises(DaskGMMError) as caught:
        open_source(options, HASTY).array[(slice(None), slice(None))]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_zarr_in_a_bucket_is_read_by_whoever_unpickles_the_reader(s3, bucket_path):
    options = DataOptions(bucket_path, array="pixels", weights="w", storage_options=s3.storage_options)
    source = pickle.loads(pickle.dumps(open_source(options)))
    assert source.stored_chunks == (30,)
    np.testing.assert_array_equal(source.array[PART], VALUES[PART])
    np.testing.assert_array_equal(source.weights[(slice(3, 9),)], np.arange(3.0, 9.0))


def test_xarray_opens_zarr_in_a_bucket(s3):
    xarray = pytest.importorskip("xarray")
    dataset = xarray.Dataset({"t": (("y", "x"), VALUES), "s": (("y", "x"), VALUES + 1)})
    url = f"{s3.url}/fields.zarr"
    dataset.to_zarr(url, storage_options=s3.storage_options, mode="w", consolidated=False)
    options = DataOptions(url, format="xarray", storage_options=s3.storage_options)
    source = pickle.loads(pickle.dumps(open_source(options)))
    assert source.feature_names == ("s", "t")
    np.testing.assert_array_equal(source.array[(slice(2, 5), slice(1, 3), slice(None))][..., 0], VALUES[2:5, 1:3] + 1)


def test_zarr_is_read_over_http(web_path):
    source = open_source(DataOptions(web_path, array="pixels"))
    np.testing.assert_array_equal(source.array[PART], VALUES[PART])


def test_a_missing_array_in_a_bucket_lists_those_there_are(s3, bucket_path):
    options = DataOptions(bucket_path, array="pixel", storage_options=s3.storage_options)
    assert "there is no array 'pixel'; the group holds pixels, w" in failure(options)


@pytest.mark.parametrize("url", ["s3://rows/nothing.zarr", "s3://no-such-bucket/nothing.zarr"])
def test_nothing_in_a_bucket_is_said(s3, url):
    assert "is not there, or holds no zarr" in failure(DataOptions(url, storage_options=s3.storage_options))


def test_nothing_behind_a_url_is_said(web):
    assert "is not there, or holds no zarr" in failure(DataOptions(f"{web.url}/nothing.zarr"))


@pytest.mark.parametrize("when", ["opened", "read"])
def test_a_server_that_is_busy_for_a_while_is_asked_again(web, web_path, when):
    refusals = [503, 429]
    if when == "opened":
        web.refusals = refusals
    source = open_source(DataOptions(web_path, array="pixels"), HASTY)
    web.refusals = refusals
    np.testing.assert_array_equal(source.array[PART], VALUES[PART])
    assert web.n_refused >= 2


@pytest.mark.parametrize("when", ["opened", "read"])
@pytest.mark.parametrize(
    ("status", "message"),
    [
        (503, r"cannot be read: the server answers 503, .*, after 3 attempts: try again later"),
        (403, r"cannot be read: access is denied \(the server answers 403, .*data\.storage_options"),
    ],
)
def test_a_server_that_refuses_is_named_in_one_line(web, web_path, when, status, message):
    if when == "opened":
        web.always = status
        with pytest.raises(DataError, match=message):
            open_source(DataOptions(web_path, array="pixels"), HASTY)
        return
    source = open_source(DataOptions(web_path, array="pixels"), HASTY)
    web.always = status
    with pytest.raises(DataError, match=r"part \[0:30, 0:3\] of .*a\.zarr/pixels " + message):
        source.array[(slice(0, 30), slice(0, 3))]
    assert web.n_refused == (3 if status == 503 else 1)


def test_a_server_that_is_not_there_is_named(web_path, web):
    with pytest.raises(DataError, match=r"^http://127.0.0.1:1/a.zarr cannot be read: .*after 3 attempts"):
        open_source(DataOptions("http://127.0.0.1:1/a.zarr"), HASTY)


def test_a_bucket_that_denies_asks_for_credentials_and_shows_none(s3, bucket_path, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "nowhere")
    options = {"client_kwargs": s3.storage_options["client_kwargs"]}
    message = failure(DataOptions(bucket_path, array="pixels", storage_options=options))
    assert "access is denied" in message
    assert "data.storage_options or the environment must hold credentials" in message


def test_messages_hide_what_storage_options_hold(s3):
    client = {**s3.storage_options["client_kwargs"], "endpoint_url": "http://me:token-of-mine@host.invalid:1x"}
    message = failure(DataOptions("s3://rows/a.zarr", storage_options={**s3.storage_options, "client_kwargs": client}))
    assert "token-of-mine" not in message
    assert "host.invalid" in message


def test_a_file_system_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    message = failure(DataOptions("gs://rows/a.zarr"))
    assert message.endswith("needs a package that reads gs://: pip install 'daskgmm[gcs]'")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("foo://rows/a.zarr", "no file system is known for foo://"),
        ("s3://rows/a.npy", "npy is read from files, not from URLs"),
        ("https://rows/a.png", "image is read from files, not from URLs"),
        ("https://rows/a.h5", "hdf5 is read from files, not from URLs"),
    ],
)
def test_a_url_that_cannot_be_opened_is_refused(path, message):
    assert message in failure(DataOptions(path))


@pytest.mark.parametrize(("status", "message"), [(503, "after 3 attempts: try again later"), (403, "access is denied")])
def test_an_object_store_that_refuses_is_named_in_one_line(web, status, message):
    web.always = status
    client = {"endpoint_url": web.url, "region_name": "us-east-1"}
    once = {"retries": {"max_attempts": 0}}  # of botocore, beneath ours
    options = {"key": "key-of-mine", "secret": "secret-of-mine", "client_kwargs": client, "config_kwargs": once}
    line = failure(DataOptions("s3://rows/a.zarr", storage_options=options))
    assert f"the server answers {status}" in line
    assert message in line
    assert "of-mine" not in line

"""Blocks: what the kernels are handed."""

import numpy as np
import pytest

from daskgmm.core.arrays.blocks import block_rows, blocks, native_dtype

EXACT_IN_FLOAT32 = ("bool", "uint8", "int8", "uint16", "int16", "float16", "float32")
NEEDS_FLOAT64 = ("uint32", "int32", "uint64", "int64", "float64", ">f8", ">f4")


@pytest.mark.parametrize("name", EXACT_IN_FLOAT32)
def test_small_types_become_float32_without_loss(name):
    dtype = np.dtype(name)
    assert native_dtype(dtype) == np.float32
    if dtype.kind in "iu":
        limits = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
        np.testing.assert_array_equal(limits.astype(np.float32).astype(dtype), limits)


@pytest.mark.parametrize("name", NEEDS_FLOAT64)
def test_other_types_become_float64(name):
    assert native_dtype(np.dtype(name)) == np.float64


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", ">f8"])
def test_blocks_hold_every_row_and_weight_once_and_in_order(dtype):
    n = block_rows(200) * 2 + 3
    rows = np.random.default_rng(0).integers(0, 200, size=(n, 200)).astype(dtype)
    weights = np.arange(n, dtype=np.float32)
    parts = list(blocks(rows, weights))
    np.testing.assert_array_equal(np.concatenate([block for block, _ in parts]), rows)
    np.testing.assert_array_equal(np.concatenate([own for _, own in parts]), weights)
    for block, own in parts:
        assert block.flags.c_contiguous
        assert block.dtype == native_dtype(rows.dtype)
        assert own.dtype == np.float64


def test_rows_that_need_no_conversion_are_not_copied():
    rows = np.zeros((1000, 3))
    assert all(np.shares_memory(block, rows) for block, _ in blocks(rows, None))


def test_a_converted_block_is_small():
    rows = np.zeros((300_000, 16), np.uint8)
    assert max(block.nbytes for block, _ in blocks(rows, None)) <= 2 * 2**20


def test_the_cut_does_not_depend_on_type_or_layout():
    rows = np.zeros((2 * block_rows(3) + 5, 3))
    cuts = [
        [len(block) for block, _ in blocks(one, None)]
        for one in (rows, rows.astype(np.uint8), np.asfortranarray(rows), rows.astype(">f8"))
    ]
    assert cuts == [cuts[0]] * 4


def test_weights_stay_absent():
    assert [weights for _, weights in blocks(np.zeros((3, 2)), None)] == [None]


def test_blocks_with_large_sums_take_a_quarter_of_their_memory():
    n_sums = 64 * 525_000
    assert block_rows(1024, n_sums) * 1024 == pytest.approx(n_sums / 4, rel=0.1)
    assert block_rows(8, 8 * 45) == block_rows(8)
    rows = np.zeros((3 * block_rows(8, 2**22), 8))
    assert len(list(blocks(rows, None, n_sums=2**22))) == 3

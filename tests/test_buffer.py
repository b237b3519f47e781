"""ParameterBuffer: one aligned array, named views, gradients beside it."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lrcore as lr


def buffer(dtype=np.float32):
    return lr.ParameterBuffer({"w": np.arange(6, dtype=dtype).reshape(2, 3), "b": np.array([7, 8], dtype)})


def test_views_and_flat_are_the_same_memory():
    params = buffer()
    np.testing.assert_array_equal(params.flat, [0, 1, 2, 3, 4, 5, 7, 8])
    params["w"][1, 2] = -1
    assert params.flat[5] == -1
    params.flat[6] = 9
    assert params["b"][0] == 9
    params.grads["b"][...] = 4
    np.testing.assert_array_equal(params.grads.flat, [0, 0, 0, 0, 0, 0, 4, 4])
    params.zero_grad()
    assert not params.grads.flat.any()


def test_it_is_a_mapping_that_copied_its_values():
    w = np.ones((2, 2))
    params = lr.ParameterBuffer({"w": w})
    params["w"] += 1
    assert list(params) == ["w"]
    assert len(params) == 1
    assert "w" in params
    assert "b" not in params
    assert w[0, 0] == 1
    params["w"] = np.full((2, 2), 5.0)
    np.testing.assert_array_equal(params.flat, np.full(4, 5.0))


@given(
    shapes=st.lists(st.lists(st.integers(0, 9), max_size=3).map(tuple), min_size=1, max_size=9),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_shapes(shapes, dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    params = lr.ParameterBuffer(arrays)
    if params.flat.size:
        assert params.flat.ctypes.data % 64 == 0
        assert params.grads.flat.ctypes.data % 64 == 0
    assert params.dtype == dtype
    assert not np.may_share_memory(params.flat, params.grads.flat)
    for array, view, grad in zip(arrays, params.values(), params.grads.values(), strict=True):
        np.testing.assert_array_equal(view, array, strict=True)
        assert grad.shape == array.shape
        assert view.flags.c_contiguous
    np.testing.assert_array_equal(params.flat, np.concatenate([a.ravel() for a in arrays]))


def test_a_non_contiguous_value_is_copied_in():
    w = np.arange(12.0).reshape(3, 4).T
    np.testing.assert_array_equal(lr.ParameterBuffer([w])["0"], w)


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_are_buffers_of_their_own(clone):
    params = buffer()
    params.grads["w"][...] = 3
    other = clone(params)
    np.testing.assert_array_equal(other.flat, params.flat)
    np.testing.assert_array_equal(other.grads.flat, params.grads.flat)
    other["w"][...] = 0
    assert not other.flat[:6].any()
    assert params.flat[5] == 5


def test_repr():
    assert repr(buffer()) == "ParameterBuffer({'w': (2, 3), 'b': (2,)}, float32, 8 elements)"

"""The networks: gradients against finite differences, known losses, initial weights, convergence."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import lrcore as lr
from lrcore.train.models import CrossEntropy, Network, SquaredError

KINDS = {
    "linear": ((5, 1), SquaredError()),
    "softmax": ((5, 4), CrossEntropy()),
    "mlp on numbers": ((5, 7, 1), SquaredError()),
    "mlp on classes": ((5, 7, 4), CrossEntropy()),
    "deep mlp": ((5, 8, 6, 7, 4), CrossEntropy()),
}


def make(kind, rows=11, dtype=np.float64, seed=3):
    sizes, loss = KINDS[kind]
    network = Network(sizes, loss, seed, dtype)
    rng = np.random.default_rng(5)
    for name in network.params:  # biases away from zero, so that they matter
        network.params[name] += rng.normal(0, 0.1, network.params[name].shape).astype(dtype)
    x = rng.normal(size=(rows, sizes[0])).astype(dtype)
    y = rng.normal(size=rows).astype(dtype) if sizes[-1] == 1 else rng.integers(0, sizes[-1], rows)
    return network, x, y


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_is_that_of_finite_differences(kind):
    network, x, y = make(kind)
    network.gradient(x, y)
    analytic = network.params.grads.flat.copy()
    flat, h = network.params.flat, 1e-6
    numeric = np.empty_like(analytic)
    for k in range(flat.size):
        kept = flat[k]
        flat[k] = kept + h
        above = network.gradient(x, y)
        flat[k] = kept - h
        below = network.gradient(x, y)
        flat[k] = kept
        numeric[k] = (above - below) / (2 * h)
    assert_allclose(analytic, numeric, rtol=1e-6, atol=1e-9)
    assert np.abs(analytic).max() > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_float32_gradient_is_near_that_of_float64(kind):
    single, x, y = make(kind, dtype=np.float32)
    double = Network(single.sizes, single.loss, dtype=np.float64)
    double.params.flat[...] = single.params.flat
    targets = y.astype(np.float64) if y.dtype == np.float32 else y
    assert_allclose(single.gradient(x, y), double.gradient(x.astype(np.float64), targets), rtol=1e-6)
    assert single.params.grads.flat.dtype == np.float32
    assert_allclose(single.params.grads.flat, double.params.grads.flat, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_a_batch_is_the_mean_over_its_rows(kind):
    network, x, y = make(kind)
    parts = []
    for k in range(len(x)):
        network.gradient(x[k : k + 1], y[k : k + 1])
        parts.append(network.params.grads.flat.copy())
    network.gradient(x, y)
    assert_allclose(network.params.grads.flat, np.mean(parts, axis=0), rtol=1e-12, atol=1e-15)


def test_gradient_leaves_parameters_and_data_alone_and_fills_the_same_buffer():
    network, x, y = make("deep mlp")
    before = network.params.flat.copy(), x.copy(), y.copy()
    grads = network.params.grads.flat
    network.gradient(x, y)
    for now, then in zip((network.params.flat, x, y), before, strict=True):
        assert_array_equal(now, then)
    assert network.params.grads.flat is grads
    assert grads.any()


def test_squared_error_by_hand():
    z = np.array([[1.0], [2.0], [6.0]])
    y = np.array([1.0, 4.0, 2.0])
    loss = SquaredError()
    assert loss.score(z, y) == pytest.approx(1 - 20 / (14 / 3))
    assert loss.gradient(z, y) == pytest.approx(20 / 3)
    assert_allclose(z[:, 0], [0, -4 / 3, 8 / 3])
    assert np.isnan(loss.score(z, np.ones(3)))


def test_cross_entropy_by_hand():
    z = np.log(np.array([[1.0, 3.0], [2.0, 2.0], [1.0, 9.0]]))
    y = np.array([1, 0, 0])
    loss = CrossEntropy()
    assert loss.score(z, y) == pytest.approx(2 / 3)
    assert loss.gradient(z, y) == pytest.approx(-np.log(0.75 * 0.5 * 0.1) / 3)
    assert_allclose(z, np.array([[0.25, -0.25], [-0.5, 0.5], [-0.9, 0.9]]) / 3)


def test_cross_entropy_does_not_overflow():
    z = np.array([[1e30, -1e30], [3e38, 3e38]], dtype=np.float32)
    with np.errstate(over="ignore"):
        loss = CrossEntropy().gradient(z, np.array([0, 1]))
    assert loss == pytest.approx(np.log(2) / 2)
    assert_array_equal(z, np.array([[0, 0], [0.25, -0.25]], dtype=np.float32))


def test_predict_is_the_formula_on_any_number_of_rows():
    network = Network((3, 5, 2), CrossEntropy(), 1, np.float64)
    x = np.random.default_rng(0).normal(size=(2500, 3))
    p = network.params
    expected = np.maximum(x @ p["w1"] + p["b1"], 0) @ p["w2"] + p["b2"]
    outputs = network.predict(x)
    assert_allclose(outputs, expected, rtol=1e-12, atol=1e-14)
    kept = outputs.copy()
    network.predict(-x)
    assert_array_equal(outputs, kept)
    assert network.predict(x[:0]).shape == (0, 2)


def test_initial_weights_are_he_and_glorot():
    network = Network((400, 300, 200), SquaredError(), seed=0, dtype=np.float64)
    w1, w2 = network.params["w1"], network.params["w2"]
    assert np.var(w1) == pytest.approx(2 / 400, rel=0.02)
    assert np.abs(w1).max() > 4 * np.std(w1)  # normal
    assert np.var(w2) == pytest.approx(2 / 500, rel=0.02)
    assert np.abs(w2).max() <= np.sqrt(6 / 500)  # uniform
    assert not network.params["b1"].any()
    assert not network.params["b2"].any()


def test_the_seed_decides_the_initial_weights():
    one, same, other = (Network((4, 6, 3), CrossEntropy(), seed).params.flat for seed in (7, 7, 8))
    assert_array_equal(one, same)
    assert (one != other).any()


def test_parameters_are_named_shaped_and_typed():
    params = Network((4, 6, 3), CrossEntropy()).params
    assert isinstance(params, lr.ParameterBuffer)
    assert {name: array.shape for name, array in params.items()} == {
        "w1": (4, 6), "b1": (6,), "w2": (6, 3), "b2": (3,)}  # fmt: skip
    assert params.dtype == np.float32


@pytest.mark.parametrize("sizes", [(4,), (), (4, 0), (0, 3), (4, -1, 2)])
def test_sizes_are_checked(sizes):
    with pytest.raises(ValueError, match=r"sizes must be two or more whole numbers >= 1, got"):
        Network(sizes, SquaredError())


def test_linear_regression_ends_at_least_squares():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(50, 3))
    y = x @ [1.0, -2.0, 0.5] + 4 + rng.normal(size=50)
    network = Network((3, 1), SquaredError(), dtype=np.float64)
    opt = lr.SGD(network.params, lr=0.1)
    for _ in range(2000):
        network.gradient(x, y)
        opt.step()
    best = np.linalg.lstsq(np.c_[x, np.ones(50)], y, rcond=None)[0]
    assert_allclose(network.params.flat, best, rtol=1e-9)


def test_mlp_learns_what_no_linear_model_can():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    y = np.array([0, 1, 1, 0])
    network = Network((2, 16, 2), CrossEntropy(), seed=0)
    opt = lr.Adam(network.params, lr=0.05)
    for _ in range(300):
        loss = network.gradient(x, y)
        opt.step()
    assert loss < 0.01
    assert network.loss.score(network.predict(x), y) == 1

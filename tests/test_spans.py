"""What surrounds the rule in a sweep: loss scale, clipping, non-finite gradients, moving averages, zeroing."""

from __future__ import annotations

import math
import pickle
import re

import numpy as np
import pytest
from conftest import BUILDS, every_optimizer, gradients
from hypothesis import given, settings
from hypothesis import strategies as st

import lrcore as lr
from lrcore import kernels

CASES = [(p.values[0], p.values[1]) for p in every_optimizer()]


def run(build, cls, options, values, steps, **arguments):
    params = [v.copy() for v in values]
    with kernels.using(build):
        opt = cls(params, **options)
    grads = [[g.copy() for g in row] for row in steps]
    reports = [opt.step(row, **arguments) for row in grads]
    return params, grads, reports, opt.state_dict()["state"]


@settings(max_examples=150, deadline=None)
@given(
    case=st.sampled_from(CASES),
    dtype=st.sampled_from([np.float32, np.float64]),
    sizes=st.lists(st.sampled_from([0, 1, 5, 16, 17, 2047, 2048, 2049, 5000]), min_size=1, max_size=4),
    ema=st.sampled_from([None, 0.0, 0.9, 0.999]),
    warmup=st.booleans(),
    clip_norm=st.sampled_from([None, 1e-3, 1.0, 1e9]),
    clip_value=st.sampled_from([None, 1e-3, 0.5, 1e9]),
    on_nonfinite=st.sampled_from(["propagate", "skip"]),
    bad=st.sampled_from([None, np.nan, np.inf, -np.inf]),
    grad_scale=st.sampled_from([1.0, 128.0, 0.3]),
    zero_grad=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    build=st.sampled_from([b for b in BUILDS if b != "reference"]),
)
def test_bits_of_every_combination(
    case, dtype, sizes, ema, warmup, clip_norm, clip_value, on_nonfinite, bad, grad_scale, zero_grad, seed, build
):
    cls, hyper = case
    rng = np.random.default_rng(seed)
    values = [rng.standard_normal(n).astype(dtype) for n in sizes]
    steps = [[gradients((n,), dtype, 1, seed % 1000 + k)[0] for n in sizes] for k in range(3)]
    if bad is not None and steps[1][0].size:
        steps[1][0][-1] = bad
    options = {**hyper, "ema": ema, "ema_warmup": warmup, "clip_norm": clip_norm, "clip_value": clip_value,
               "on_nonfinite": on_nonfinite}  # fmt: skip
    arguments = {"grad_scale": grad_scale, "zero_grad": zero_grad}
    expected = run("reference", cls, options, values, steps, **arguments)
    got = run(build, cls, options, values, steps, **arguments)
    np.testing.assert_equal(got, expected)
    if zero_grad:
        assert not any(g.any() for row in got[1] for g in row)
    else:
        np.testing.assert_equal(got[1], steps)


def test_grad_scale_divides_the_gradients():
    w, u = np.ones(3), np.ones(3)
    lr.SGD(w, lr=0.5).step(np.array([1.0, 2.0, 4.0]) * 1024, grad_scale=1024.0)
    lr.SGD(u, lr=0.5).step(np.array([1.0, 2.0, 4.0]))
    np.testing.assert_array_equal(w, u)


def test_clip_value_by_hand():
    w = np.zeros(4)
    lr.SGD(w, lr=1.0, clip_value=0.5).step(np.array([0.25, -3.0, 2.0, np.nan]))
    np.testing.assert_array_equal(w, [-0.25, 0.5, -0.5, np.nan])


@pytest.mark.parametrize(
    ("like", "bound", "factor"),
    [
        ("torch", 1.0, 1.0 / (5 + 1e-6)), ("torch", 5.0, 5.0 / (5 + 1e-6)), ("torch", 6.0, 1.0),
        ("keras", 1.0, 0.2), ("keras", 5.0, 1.0), ("optax", 2.5, 0.5), ("optax", 6.0, 1.0),
    ],
)  # fmt: skip
def test_clip_norm_is_over_all_parameters(like, bound, factor):
    params = [np.zeros(1), np.zeros((1, 1))]
    opt = lr.SGD(params, lr=1.0, clip_norm=bound, like=like)
    report = opt.step([np.array([3.0]), np.array([[4.0]])])
    assert report.grad_norm == 5.0
    np.testing.assert_allclose([params[0][0], params[1][0, 0]], [-3 * factor, -4 * factor], rtol=1e-15)


def test_the_norm_is_that_of_the_unscaled_gradient_before_clipping():
    opt = lr.SGD(np.zeros(2), lr=1.0, clip_norm=0.1)
    assert opt.step(np.array([30.0, 40.0]), grad_scale=10.0).grad_norm == pytest.approx(5.0, rel=1e-15)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_norm_is_accurate(build, dtype):
    g = np.random.default_rng(0).standard_normal(100_003).astype(dtype)
    with kernels.using(build):
        opt = lr.SGD(np.zeros_like(g), clip_norm=1.0)
    exact = math.sqrt(math.fsum(float(x) ** 2 for x in g))
    assert opt.step(g).grad_norm == pytest.approx(exact, rel=1e-14)


@pytest.mark.parametrize("build", [BUILDS[-2], "reference"])
def test_squares_that_overflow_do_not_make_a_gradient_infinite(build):
    w = np.zeros(2)
    with kernels.using(build):
        opt = lr.SGD(w, lr=1.0, clip_norm=1.0, on_nonfinite="raise", like="keras")
    report = opt.step(np.array([3e200, 4e200]))
    assert report.grad_norm == pytest.approx(5e200, rel=1e-14)
    np.testing.assert_allclose(w, [-0.6, -0.8], rtol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("build", [BUILDS[-2], "reference"])
def test_a_skipped_step_changes_nothing(build, bad):
    params = {"w": np.ones(3), "b": np.ones(2)}
    asked = []
    with kernels.using(build):
        opt = lr.NAdam(params, lr=lambda step: asked.append(step) or 0.1, ema=0.9, on_nonfinite="skip")
    good = {"w": np.ones(3), "b": np.ones(2)}
    opt.step(good)
    before = pickle.dumps((params, opt.state_dict()))
    wrong = {"w": np.ones(3), "b": np.array([1.0, bad])}
    report = opt.step(wrong)
    assert (report.step, report.applied) == (1, False)
    assert not math.isfinite(report.grad_norm)
    assert pickle.dumps((params, opt.state_dict())) == before
    assert opt.step(wrong, zero_grad=True).applied is False
    assert not wrong["b"].any()
    assert pickle.dumps((params, opt.state_dict())) == before
    assert opt.step(good).step == 2
    assert asked == [0, 1, 1, 1]


@pytest.mark.parametrize("build", [BUILDS[-2], "reference"])
def test_a_gradient_that_is_not_finite_raises_if_asked_to(build):
    params = {"w": np.ones(3), "b": np.ones((2, 2))}
    with kernels.using(build):
        opt = lr.Adam(params, on_nonfinite="raise")
    wrong = {"w": np.ones(3), "b": np.array([[1.0, 1.0], [np.inf, np.nan]])}
    with pytest.raises(FloatingPointError, match=re.escape('grads["b"] must be finite, got inf at index (1, 0)')):
        opt.step(wrong)
    assert opt.step_count == 0
    np.testing.assert_array_equal(params["w"], np.ones(3))


def test_moving_averages_by_hand():
    w = np.array([1.0])
    opt = lr.SGD(w, lr=1.0, ema=0.75)
    seen = []
    for g in (1.0, 1.0, -4.0):
        opt.step(np.array([g]))
        seen.append((w[0], opt.averages[0]))
    # The parameter goes 0, -1, 3; its average begins with the first of these.
    assert seen == [(0.0, 0.0), (-1.0, -0.25), (3.0, 0.75 * -0.25 + 0.25 * 3.0)]


def test_moving_averages_with_warmup_by_hand():
    w = np.array([1.0])
    opt = lr.SGD(w, lr=1.0, ema=0.2, ema_warmup=True)
    average, expected = 1.0, []
    seen = []
    for t, g in enumerate((1.0, 1.0, -4.0), start=1):
        opt.step(np.array([g]))
        decay = min(0.2, (1 + t) / (10 + t))
        average = decay * average + (1 - decay) * w[0]
        seen.append(opt.averages[0])
        expected.append(average)
    assert [min(0.2, (1 + t) / (10 + t)) for t in (1, 2)] == [2 / 11, 0.2]
    np.testing.assert_allclose(seen, expected, rtol=1e-15)


@pytest.mark.parametrize("structure", ["array", "list", "mapping", "buffer", "groups"])
def test_averages_have_the_structure_of_the_parameters(structure):
    values = {"w": np.arange(6.0).reshape(2, 3), "b": np.arange(2.0)}
    make = {
        "array": lambda: values["w"].copy(),
        "list": lambda: [v.copy() for v in values.values()],
        "mapping": lambda: {k: v.copy() for k, v in values.items()},
        "buffer": lambda: lr.ParameterBuffer(values),
        "groups": lambda: [{"params": values["w"].copy()}, {"params": {"b": values["b"].copy()}}],
    }
    opt = lr.SGD(make[structure](), ema=0.9)
    averages = opt.averages
    if structure == "groups":
        averages = {"w": averages[0], "b": averages[1]["b"]}
    elif structure == "array":
        averages = {"w": averages, "b": values["b"]}
    elif structure == "list":
        averages = dict(zip(values, averages, strict=True))
    np.testing.assert_equal(dict(averages), values)
    with pytest.raises(ValueError, match="read-only"):
        averages["w"][0, 0] = 1


def test_averages_are_swapped_in_and_out_also_on_an_exception():
    params = lr.ParameterBuffer({"w": np.ones(3)})
    opt = lr.SGD(params, lr=0.5, ema=0.5)
    for _ in range(3):
        params.grads["w"][...] = 1
        opt.step()
    theta, average = params["w"].copy(), opt.averages["w"].copy()
    assert (theta != average).all()
    with opt.averaged() as swapped:
        assert swapped is params
        np.testing.assert_array_equal(params["w"], average)
        for call in (opt.step, opt.state_dict, lambda: opt.averaged().__enter__()):
            with pytest.raises(RuntimeError, match="must not be"):
                call()
    np.testing.assert_array_equal(params["w"], theta)
    with pytest.raises(KeyError), opt.averaged():
        raise KeyError("inside")
    np.testing.assert_array_equal(params["w"], theta)
    np.testing.assert_array_equal(opt.averages["w"], average)
    opt.step()
    assert opt.step_count == 4


@pytest.mark.parametrize("call", [lambda o: o.averages, lambda o: o.averaged().__enter__()])
def test_averages_that_were_not_asked_for(call):
    with pytest.raises(ValueError, match="averages must be asked for when the optimizer is made"):
        call(lr.SGD(np.ones(2)))


def test_zeroing_needs_gradients_that_can_be_written():
    shared = np.ones(4)
    frozen = np.ones(2)
    frozen.flags.writeable = False
    for build in (BUILDS[-2], "reference"):
        params = [np.ones(2), np.ones(2)]
        with kernels.using(build):
            opt = lr.SGD(params, lr=0.1)
        with pytest.raises(ValueError, match=re.escape("grads[1] must be writable to be zeroed")):
            opt.step([np.ones(2), frozen], zero_grad=True)
        with pytest.raises(ValueError, match=re.escape("grads[0] and grads[1] must not overlap in memory")):
            opt.step([shared[:2], shared[1:3]], zero_grad=True)
        assert (shared == 1).all()
        assert opt.step_count == 0
        opt.step([frozen, frozen])
        np.testing.assert_array_equal(params[0], params[1])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ema": 1.0}, ValueError, "ema must be in [0, 1), got 1.0"),
        ({"ema": -0.1}, ValueError, "ema must be in [0, 1), got -0.1"),
        ({"ema": "x"}, TypeError, "ema must be a number, got 'x'"),
        ({"ema_warmup": 1}, TypeError, "ema_warmup must be True or False, got 1"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm must be finite and > 0, got 0.0"),
        ({"clip_norm": np.nan}, ValueError, "clip_norm must be finite and > 0, got nan"),
        ({"clip_value": -1}, ValueError, "clip_value must be finite and > 0, got -1.0"),
        (
            {"on_nonfinite": "ignore"},
            ValueError,
            "on_nonfinite must be one of 'propagate', 'skip', 'raise', got 'ignore'",
        ),
        ({"momentun": 0.9}, TypeError, "unexpected keyword argument 'momentun'"),
    ],
)
def test_bad_options(options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        lr.SGD(np.ones(2), **options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"grad_scale": 0.0}, ValueError, "grad_scale must be in [1e-300, 1e300], got 0.0"),
        ({"grad_scale": np.inf}, ValueError, "grad_scale must be in [1e-300, 1e300], got inf"),
        ({"grad_scale": "x"}, TypeError, "grad_scale must be a number, got 'x'"),
        ({"zero_grad": 1}, TypeError, "zero_grad must be True or False, got 1"),
    ],
)
def test_bad_arguments_of_a_step(arguments, error, message):
    w = np.ones(2)
    opt = lr.SGD(w)
    with pytest.raises(error, match=re.escape(message)):
        opt.step(np.ones(2), **arguments)
    np.testing.assert_array_equal(w, np.ones(2))
    assert opt.step_count == 0


def test_a_run_with_everything_goes_on_with_the_same_bits():
    def make():
        params = lr.ParameterBuffer({"w": np.linspace(-1, 1, 50), "b": np.zeros(3)})
        schedule = lambda step: 0.1 / (1 + step)  # noqa: E731
        return params, lr.AdamW(params, lr=schedule, ema=0.9, ema_warmup=True, clip_norm=0.5, on_nonfinite="skip")

    def train(params, opt, steps):
        for k in steps:
            params.grads.flat[...] = np.cos(np.arange(53.0) + k) if k != 4 else np.nan
            opt.step(grad_scale=2.0, zero_grad=True)

    whole_params, whole = make()
    train(whole_params, whole, range(10))
    for stop in range(10):
        params, opt = make()
        train(params, opt, range(stop))
        saved, values = pickle.loads(pickle.dumps((opt.state_dict(), dict(params))))
        params, opt = make()
        for name, value in values.items():
            params[name] = value
        opt.load_state_dict(saved)
        train(params, opt, range(stop, 10))
        np.testing.assert_array_equal(params.flat, whole_params.flat)
        np.testing.assert_equal(opt.state_dict(), whole.state_dict())

"""What is summed of a rule before anything is written, and steps that are masked: every build against the reference."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from conftest import BUILDS, gradients

import lrcore as lr
from lrcore import kernels, reference

COMPILED = [build for build in BUILDS if build != "reference"]
every_build = pytest.mark.parametrize("build", BUILDS)
every_compiled = pytest.mark.parametrize("build", COMPILED)

SIZES = (0, 1, 31, 32, 33, 255, 256, 257, 2047, 2048, 2049, 5000)
ADAM = (0.7, 0.8, 0.2, 0.9, 0.1, 0.3, 1e-3)
PLAIN = ("gg", "gt", "tt")


def tensors(dtype, seed=0):
    """Parameters with the states of Adam, some beginning at an odd element, and a state that only looks see."""
    rng = np.random.default_rng(seed)
    made = []
    for k, size in enumerate(SIZES):
        arrays = [np.zeros(size + 3, dtype)[k % 3 : k % 3 + size] for _ in range(4)]
        for array in arrays:
            array[...] = rng.standard_normal(size)
        arrays[2][...] = np.abs(arrays[2])
        made.append((arrays[0], arrays[1:], None))
    return made


def sweeps(build, dtype, seed=0):
    made = tensors(dtype, seed)
    half = len(made) // 2
    groups = [("adam", made[:half], ("start",)), ("adam", made[half:], ("start",))]
    return kernels.module(build).Sweep(groups), made


def grads_of(dtype, seed=1):
    return [gradients((size,), dtype, 1, seed + size)[0] for size in SIZES]


def entries(groups=2):
    """One for each group: other looks, and other sums, at each."""
    first = (2.0, 0.0, [("adam", (-0.1, *ADAM[1:]), ("uu", "agree", "ug")), ("away", (), ("u",))])
    second = (-0.5, 0.25, [("away", (), ("gg",)), ("adam", (0.0, *ADAM[1:]), ("agree", "u"))])
    return [first, second][:groups]


WHICH = [0] * (len(SIZES) // 2) + [1] * (len(SIZES) - len(SIZES) // 2)


@every_compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clip_value", [np.inf, 0.3])
@pytest.mark.parametrize("plain", [PLAIN, ("tt",), ()])
@pytest.mark.usefixtures("eager_pool")
def test_bits_of_looks(build, dtype, clip_value, plain):
    """Whatever length, offset, number of threads; and nothing is changed."""
    expected_sweep, _ = sweeps("reference", dtype)
    grads = grads_of(dtype)
    grads[3] = grads[9] = None
    expected = expected_sweep.look(grads, entries(), WHICH, clip_value, plain)
    assert [sums is None for sums in expected] == [g is None for g in grads]
    sweep, made = sweeps(build, dtype)
    before = [[theta.copy(), *(s.copy() for s in states)] for theta, states, _ in made]
    for threads in (1, 2, 3, 7):
        lr.set_num_threads(threads)
        assert sweep.look(grads, entries(), WHICH, clip_value, plain) == expected
    np.testing.assert_equal([[theta, *states] for theta, states, _ in made], before)


@every_build
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_look_sums_what_the_rule_would_make(build, dtype):
    """By NumPy's own sums, of what the rule makes when it is run for good."""
    sweep, made = sweeps(build, dtype)
    grads = grads_of(dtype)
    found = sweep.look(grads, entries(), WHICH, 0.5, PLAIN)
    for (theta, states, _), g, k, sums in zip(made, grads, WHICH, found, strict=True):
        factor, l2, _ = entries()[k]
        prepared = (np.clip(dtype(factor) * g, -0.5, 0.5) + dtype(l2) * theta).astype(dtype)
        u, m, v = theta.copy(), states[0].copy(), states[1].copy()
        with np.errstate(all="ignore"):
            reference.RULES["adam"](u, prepared, m, v, *((-0.1 if k == 0 else 0.0), *ADAM[1:]))
        away = theta - states[2]
        u, p, away, t, h = (a.astype(np.float64) for a in (u, prepared, away, theta, g))
        agree = np.count_nonzero(np.sign(u) * np.sign(p) < 0)
        mine = [u @ u, agree, u @ p, away.sum()] if k == 0 else [p @ p, agree, u.sum()]
        np.testing.assert_allclose(sums, [h @ h, h @ t, t @ t, *mine], rtol=1e-6, atol=1e-6)


@every_compiled
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.0, 1e-45, 1e-310, 3e38, 1e300])
def test_looks_at_extreme_gradients(build, value):
    for dtype in (np.float32, np.float64):
        with np.errstate(over="ignore"):
            grads = [np.full(size, value).astype(dtype) for size in SIZES]
        for g in grads:
            g[::3] = 0.5
        one, other = (
            sweeps(name, dtype)[0].look(grads, entries(), WHICH, np.inf, PLAIN) for name in (build, "reference")
        )
        np.testing.assert_equal(one, other)


@every_build
def test_signs_agree_where_a_product_would_be_too_small(build):
    theta, g = np.zeros(4, np.float32), np.array([1e-30, -1e-30, 0.0, np.nan], np.float32)
    sweep = kernels.module(build).Sweep([("sgd", [(theta, [], None)])])
    ((agree, against),) = (
        tuple(
            s
            for rate in (1e-8, -1e-8)
            for s in sweep.look([g], [(1.0, 0.0, [("sgd", (0.0, rate), ("agree",))])], [0], np.inf)[0]
        )
        for _ in range(1)
    )
    assert (agree, against) == (2.0, 0.0)


@every_compiled
@pytest.mark.parametrize(
    ("entry", "which", "plain"),
    [
        ((1.0, 0.0, [("no such rule", (), ("u",))]), 0, ()),
        ((1.0, 0.0, [("adam", ADAM[1:], ("u",))]), 0, ()),
        ((1.0, 0.0, [("adam", ADAM, ("tt",))]), 0, ()),
        ((1.0, 0.0, [("adam", ADAM, ("u",) * 9)]), 0, ()),
        ((1.0, 0.0, [("adam", ADAM, ("u",) * 7)]), 0, PLAIN),
        ((1.0, 0.0, [("adam", ADAM, ("u",))] * 3), 0, ()),
        ((1.0, 0.0, [("nesterov", (1.0,) * 5, ("u",))]), 0, ()),
        ((1.0, 0.0, [("adam", ("x",) * 7, ("u",))]), 0, ()),
        ((1.0, 0.0), 0, ()),
        ((1.0, 0.0, []), 1, ("gg",)),
        ((1.0, 0.0, []), -1, ("gg",)),
        ((1.0, 0.0, []), 0, ("uu",)),
        ((1.0, 0.0, []), 0, ("gg",) * 9),
    ],
)
def test_a_sweep_refuses_looks_that_it_cannot_take(build, entry, which, plain):
    states = [np.ones(2) for _ in range(3)]
    sweep = kernels.module(build).Sweep([("adam", [(np.zeros(2), states, None)], ("start",))])
    with pytest.raises((TypeError, ValueError)):
        sweep.look([np.ones(2)], [entry], [which], np.inf, plain)
    assert sweep.look([np.ones(2, np.float32)], [(1.0, 0.0, [])], [0], np.inf) is None
    assert sweep.look([np.ones(2)], [(1.0, 0.0, [])], [0], np.inf, ("gg",)) == [(2.0,)]


@every_compiled
def test_an_entry_is_of_one_group(build):
    groups = [("sgd", [(np.zeros(2), [], None)]), ("momentum", [(np.zeros(2), [np.ones(2)], None)])]
    sweep = kernels.module(build).Sweep(groups)
    with pytest.raises(ValueError, match=r"which\[1\] must be of one group with all that are 0"):
        sweep.look([np.ones(2)] * 2, [(1.0, 0.0, [])], [0, 0], np.inf)
    with pytest.raises(ValueError, match="look momentum must have a state b"):
        sweep.look([np.ones(2)] * 2, [(1.0, 0.0, [("momentum", (1.0,) * 4, ("u",))])] * 2, [0, 1], np.inf)


@every_compiled
def test_a_sweep_knows_the_states_of_looks_by_name(build):
    sweep = kernels.module(build).Sweep
    theta, one = np.zeros(2), np.ones(2)
    with pytest.raises(ValueError, match="rule sgd must have 1 states, got 0"):
        sweep([("sgd", [(theta, [], None)], ("start",))])
    with pytest.raises(ValueError, match="rule sgd must have 0 states, got 1"):
        sweep([("sgd", [(theta, [one], None)])])
    with pytest.raises(ValueError, match="states of a tensor must be at most 6"):
        sweep([("sgd", [(theta, [one] * 7, None)], "abcdefg")])
    with pytest.raises(ValueError, match="state must have the size of its parameter, 2, got 3"):
        sweep([("sgd", [(theta, [np.ones(3)], None)], ("start",))])


# Steps that are masked.


@every_compiled
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.usefixtures("eager_pool")
def test_bits_of_masked_steps(build, dtype):
    def stepped(name):
        made = tensors(dtype)
        averages = [theta.copy() for theta, _, _ in made]
        groups = [("adam", [(t, s[:2], a) for (t, s, _), a in zip(made, averages, strict=True)])]
        sweep = kernels.module(name).Sweep(groups)
        grads = grads_of(dtype)
        terms = [(2.0, 0.01, 0.9, 0.1, False, *ADAM), (1.0, 0.0, 0.5, 0.5, True, *ADAM)]
        which = [k % 2 for k in range(len(SIZES))]
        sweep.step(grads, terms, which, 0.4, True, [0], 1, [1.7, 0.0])
        sweep.step(grads_of(dtype, 2), terms, which, np.inf, False, [0], 1, [3.0, 1.0])
        sweep.step(grads_of(dtype, 3), terms, which, np.inf, False, [0], 1)
        return made, averages, grads

    expected = stepped("reference")
    for threads in (1, 3):
        lr.set_num_threads(threads)
        np.testing.assert_equal(stepped(build), expected)


@every_build
def test_a_masked_step_is_taken_against_the_gradient_alone(build):
    """b = g + b: -1 + 4 against a gradient of -1, and so on; decay is of every element, state as without a mask."""
    theta, b, g = np.full(4, 2.0), np.array([4.0, 1.0, 0.0, -5.0]), np.array([-1.0, 1.0, 0.0, -1.0])
    sweep = kernels.module(build).Sweep([("momentum", [(theta, [b], None)])])
    sweep.step([g], [(1.0, 0.0, 1.0, 0.0, False, 0.5, 1.0, 1.0, 0.25)], None, np.inf, False, [0], 1, [2.0])
    np.testing.assert_array_equal(b, [3.0, 2.0, 0.0, -6.0])
    np.testing.assert_array_equal(theta, [1.0, 1.0 - 2 * 0.25 * 2.0, 1.0, 1.0 + 2 * 0.25 * 6.0])
    if build != "reference":
        with pytest.raises(ValueError, match="masks must have 1 entries, got 2"):
            sweep.step([g], [(1.0, 0.0, 1.0, 0.0, False, 0.5, 1.0, 1.0, 0.25)], None, np.inf, False, [0], 1, [2.0, 1.0])


def made(build, cls, params, **hyper):
    with kernels.using(build):
        return cls(params, **hyper)


CAREFUL = [
    (lr.AdamW, {}), (lr.Adam, {"amsgrad": True, "weight_decay": 0.1}), (lr.NAdam, {}),
    (lr.SGD, {"momentum": 0.9, "nesterov": True}),
]  # fmt: skip


@every_build
@pytest.mark.parametrize(("cls", "hyper"), CAREFUL)
@pytest.mark.parametrize("extra", [{}, {"clipnorm": 0.5, "ema": 0.9}, {"clip_norm": 0.5, "clip_value": 0.2}])
def test_cautious_steps_of_a_buffer_are_those_of_a_list(build, cls, hyper, extra):
    """And of the reference; a rest in between, and mirrored where the gradient is ascended."""
    values = [np.linspace(-1, 1, n) for n in (7, 3000)]
    one, other, up = [v.copy() for v in values], lr.ParameterBuffer(values), [v.copy() for v in values]
    hyper = {"lr": 0.05, "cautious": True, **hyper, **extra}
    if "clip_norm" in extra:  # of a buffer, the norm over all is another sum
        other = [v.copy() for v in values]
    opts = [
        made("reference", cls, one, **hyper),
        made(build, cls, other, **hyper),
        made(build, cls, up, maximize=True, **hyper),
    ]
    for step in range(6):
        grads = [np.random.default_rng((step, k)).standard_normal(v.size) for k, v in enumerate(values)]
        if step == 3:
            grads[0] = None
        opts[0].step(grads)
        opts[1].step(dict(zip(other, grads, strict=True)) if isinstance(other, lr.ParameterBuffer) else grads)
        opts[2].step([None if g is None else -g for g in grads])
    np.testing.assert_equal(one, list(other.values()) if isinstance(other, lr.ParameterBuffer) else other)
    np.testing.assert_equal(one, up)
    saved = [opt.state_dict()["state"] for opt in opts]
    np.testing.assert_equal(saved[0], saved[1])


@every_build
def test_cautious_may_be_assigned(build):
    one, other = np.ones(4), np.ones(4)
    careful, plain = (made(build, lr.AdamW, theta, lr=0.1) for theta in (one, other))
    g, back = np.array([1.0, -1.0, 2.0, 3.0]), np.array([-0.1, -1.0, 2.0, 3.0])
    for opt in (careful, plain):
        opt.step(g)
    careful.cautious = True
    before = one.copy()
    for opt in (careful, plain):
        opt.step(back)
    assert one[0] == before[0] * (1 - 0.1 * 1e-2) != other[0]  # momentum still goes on, against this gradient
    np.testing.assert_allclose(one[1:] - before[1:] * 0.999, (other[1:] - before[1:] * 0.999) * 4 / 3, rtol=1e-12)
    np.testing.assert_equal(careful.state_dict()["state"], plain.state_dict()["state"])
    careful.cautious = False
    assert careful.cautious is False
    one[...] = other
    for opt in (careful, plain):
        opt.step(g)
    np.testing.assert_equal(one, other)


def test_cautious_needs_a_direction_of_its_own():
    with pytest.raises(ValueError, match="cautious must be False for Adagrad, got True"):
        lr.Adagrad(np.ones(2), cautious=True)
    with pytest.raises(ValueError, match="cautious must be False for LAMB, got True"):
        lr.LAMB(np.ones(2), lr=0.1, cautious=True)
    with pytest.raises(TypeError, match="cautious must be True or False, got 1"):
        lr.Adam(np.ones(2), cautious=1)
    opt = lr.Adagrad(np.ones(2))
    with pytest.raises(ValueError, match="cautious must be False for Adagrad, got True"):
        opt.cautious = True
    one, other = np.ones(2), np.ones(2)
    for opt in (lr.SGD(one, lr=0.1), lr.SGD(other, lr=0.1, cautious=True)):  # without momentum all agrees
        opt.step(np.array([0.0, 1.0]))
    np.testing.assert_equal(one, other)
    with pytest.raises(TypeError, match=r"looks of Wrong must be of lrcore\.reference, got 'no such rule'"):

        class Wrong(lr.SGD):
            looks = {"no such rule": ("u",)}  # noqa: RUF012


# What is remembered of all parameters together.

TOGETHER = [
    (lr.DoG, {"init_step": ("distance", 0.1)}),
    (lr.DoG, {"init_step": ("learning_rate", 0.1)}), (lr.DoWG, {"init_estim_sq_dist": 0.1}),
    (lr.Prodigy, {"estim_lr0": 0.1}), (lr.DAdaptAdam, {"estim_lr0": 0.1}), (lr.DAdaptSGD, {"d0": 0.1}),
]  # fmt: skip
every_together = pytest.mark.parametrize(("cls", "hyper"), TOGETHER)


def drifting(step, sizes=(3, 5)):
    rng = np.random.default_rng(step)
    return [0.5 + 0.1 * rng.standard_normal(n) for n in sizes]


@every_together
@every_build
def test_who_rests_knows_what_all_have_learned(cls, hyper, build):
    """A parameter that has rested goes on with the numbers of the others; so does a group that comes later."""
    params = [np.ones(3), np.ones(5)]
    opt = made(build, cls, params, **hyper)
    for step in range(6):
        grads = drifting(step)
        opt.step([grads[0], None if step in (2, 3) else grads[1]])
        saved = opt.state_dict()["groups"][0]
        for name in opt._initial_numbers(opt.like):
            mine = saved[name]
            assert not isinstance(mine, list) or mine[0] == mine[1] > 0.0 or name == "numerator"
    before = opt.state_dict()["groups"][0]
    opt.step([None, None])
    after = opt.state_dict()["groups"][0]
    assert {name: after[name] for name in opt._initial_numbers(opt.like)} == {
        name: before[name] for name in opt._initial_numbers(opt.like)
    }
    opt.add_param_group({"params": np.ones(4)})
    opt.step([drifting(9), np.full(4, 0.5)])
    first, second = opt.state_dict()["groups"]
    for name in opt._initial_numbers(opt.like):
        value = first[name][0] if isinstance(first[name], list) else first[name]
        assert second[name] == value


@every_build
@pytest.mark.parametrize(("cls", "share"), [(lr.Prodigy, 1.0), (lr.DAdaptAdam, 1.0 - math.sqrt(0.999))])
def test_the_estimate_is_of_the_state_that_the_step_leaves(cls, share, build):
    """What a look says of s before the step, the step makes of it: also of who has rested, and of who is new."""
    opt = made(build, cls, [{"params": [np.full(3, 5.0), np.full(5, 5.0)]}], estim_lr0=0.01)
    grown = 0
    for step in range(12):
        if step == 6:
            opt.add_param_group({"params": np.full(4, 5.0)})
        grads = drifting(step, (3, 5, 4))
        if step in (2, 3, 8):
            grads[1] = None
        before = opt.state_dict()["groups"][0]["estim_lr"]
        opt.step([grads[:2], grads[2]] if step >= 6 else [grads[:2]])
        saved = opt.state_dict()
        stepped = [k for k, g in enumerate(grads) if g is not None and str(k) in saved["state"]]
        size = sum(np.abs(saved["state"][str(k)]["s"]).sum() for k in stepped)
        before, estimate, numerator = (
            value[0] if isinstance(value, list) else value
            for value in (before, saved["groups"][0]["estim_lr"], saved["groups"][0]["numerator"])
        )
        grown += estimate > (before or 0.01)
        assert estimate == pytest.approx(max(before or 0.01, numerator / (share * size)), rel=1e-12)
    assert grown > 6


@every_together
def test_a_rest_is_not_in_the_sums(cls, hyper):
    """Who rests counts for nothing in that step: as if the other had been alone."""
    one, other = np.ones(3), np.ones(3)
    pair = cls([one, np.full(5, 7.0)], **hyper)
    alone = cls([other], **hyper)
    for step in range(5):
        g = drifting(step)[0]
        pair.step([g, None])
        alone.step([g])
    np.testing.assert_equal(one, other)


@every_together
@every_build
@pytest.mark.parametrize("first", [np.zeros(3), np.full(3, 1e-300)])
def test_a_first_gradient_of_zero_leaves_the_estimate(cls, hyper, build, first):
    theta = np.ones(3)
    opt = made(build, cls, theta, **hyper)
    opt.step(first)
    opt.step(np.zeros(3))
    assert np.isfinite(theta).all()
    for step in range(4):
        opt.step(drifting(step)[0])
    assert np.isfinite(theta).all()
    assert (theta != 1.0).all()


@every_together
def test_the_estimate_grows(cls, hyper):
    """Gradients that all point one way: what is estimated is larger than where it began, and steps with it."""
    theta = np.full(50, 5.0)
    opt = cls(theta, **hyper)
    moved = []
    for step in range(30):
        before = theta.copy()
        opt.step(np.full(50, 1.0) + 0.01 * np.cos(np.arange(50) + step))
        moved.append(np.abs(theta - before).max())
    assert moved[-1] > moved[0] * 1.1


@pytest.mark.parametrize("cls", [lr.LAMB, lr.StableAdamW, lr.Prodigy])
def test_a_step_with_sums_allocates_nothing_of_the_models_size(cls):
    theta, g = np.ones(200_000), np.ones(200_000)
    for build in COMPILED:
        opt = made(build, cls, theta, lr=0.1)
        opt.step(g)
        tracemalloc.start()
        opt.step(g)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20_000


@every_build
def test_norms_of_lamb_are_of_each_array_also_in_a_buffer(build):
    """Worked by hand: u is the sign of the gradient, and each array moves by 0.1 of its own size."""
    buffer = lr.ParameterBuffer({"a": np.full(4, 3.0), "b": np.full((5, 5), 10.0), "empty": np.zeros((0, 2))})
    opt = made(build, lr.LAMB, buffer, lr=0.1, eps=0.0)
    opt.step({"a": np.full(4, 1e-9), "b": np.full((5, 5), -1e9), "empty": np.zeros((0, 2))})
    np.testing.assert_allclose(buffer["a"], 3.0 - 0.1 * 3.0, rtol=1e-14)
    np.testing.assert_allclose(buffer["b"], 10.0 + 0.1 * 10.0, rtol=1e-14)


@every_build
def test_stable_adamw_slows_down_where_gradients_jump(build):
    """g 1, then 100: v = (1 + 100^2) / 2, so that r = 100 / sqrt(v) > 1, and the rate is divided by it."""
    theta = np.zeros(1)
    opt = made(build, lr.StableAdamW, theta, lr=1.0, betas=(0.0, 0.5), eps=0.0, weight_decay=0.0, like="paper")
    opt.step(np.array([1.0]))
    assert theta[0] == pytest.approx(-1.0)
    opt.step(np.array([100.0]))
    mean = (0.25 + 0.5 * 100**2) / 0.75
    assert theta[0] == pytest.approx(-1.0 - 1.0 / (100 / math.sqrt(mean)) * 100 / math.sqrt(mean))


@every_build
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lamb_rests_where_gradients_have_ended(build, dtype):
    """Momentum fades until the ratio of norms is beyond all numbers: then it is 1, and nothing overflows."""
    theta = np.array([1.0, 2.0, 3.0], dtype)
    opt = made(build, lr.LAMB, theta, lr=1e-3, betas=(0.5, 0.999))
    opt.step(np.array([1.0, 0.0, -1.0], dtype))
    for _ in range(1200):
        opt.step(np.zeros(3, dtype))
    assert np.isfinite(theta).all()
    still = theta.copy()
    opt.step(np.zeros(3, dtype))
    np.testing.assert_equal(theta, still)

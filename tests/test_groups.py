"""Groups that come and go, parameters that rest, sums of each array by itself, steps counted for each parameter."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from conftest import BUILDS, each_rule, every_optimizer
from hypothesis import given, settings
from hypothesis import strategies as st

import lrcore as lr
from lrcore import kernels
from lrcore.groups import ParameterGroup

PLAIN = (BUILDS[-2], "reference") if len(BUILDS) > 1 else BUILDS
every_build = pytest.mark.parametrize("build", PLAIN)


def arrays(*sizes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(size) for size in sizes]


def made(build, cls, params, **hyper):
    with kernels.using(build):
        return cls(params, **hyper)


# The list of groups is the caller's too.


def in_groups(build, cls=lr.Adam, n=4, **hyper):
    params = arrays(*[3] * n)
    return params, made(build, cls, [{"params": p, "lr": 0.1 * (k + 1)} for k, p in enumerate(params)], **hyper)


@every_build
@pytest.mark.parametrize("change", [lambda g: g.pop(1), lambda g: g.__delitem__(slice(1, 2)), lambda g: g.remove(g[1])])
def test_a_group_taken_out_is_no_longer_stepped(build, change):
    params, opt = in_groups(build)
    expected, other = in_groups(build)
    for _ in range(2):
        opt.step([p * 1 for p in params])
        other.step([p * 1 for p in expected])
    change(opt.param_groups)
    before = [p.copy() for p in params]
    opt.step([p * 1 for k, p in enumerate(params) if k != 1])
    other.step([p * 1 if k != 1 else None for k, p in enumerate(expected)])
    assert (params[1] == before[1]).all()
    assert all((p != b).any() for k, (p, b) in enumerate(zip(params, before, strict=True)) if k != 1)
    np.testing.assert_equal(params, expected)


@every_build
@pytest.mark.parametrize(
    "change", [list.reverse, lambda g: g.sort(key=lambda x: -x["lr"]), lambda g: g.insert(0, g.pop())]
)
def test_groups_in_another_order_keep_their_rates_and_states(build, change):
    params, opt = in_groups(build)
    expected, other = in_groups(build)
    opt.step([p * 1 for p in params])
    other.step([p * 1 for p in expected])
    change(opt.param_groups)
    order = [next(k for k, p in enumerate(params) if group["params"] is p) for group in opt.param_groups]
    assert order != [0, 1, 2, 3]
    for _ in range(3):
        opt.step([params[k] * 1 for k in order])
        other.step([p * 1 for p in expected])
    np.testing.assert_equal(params, expected)
    assert opt.state_dict()["groups"][0]["params"] == ["0"]


@every_build
@pytest.mark.parametrize("add", ["append", "add_param_group", "insert", "assign"])
def test_a_group_added_late_begins_at_its_first_step(build, add):
    a, b = arrays(3, 2)
    opt = made(build, lr.Adam, [{"params": a}], lr=0.1)
    alone, theirs = a.copy(), b.copy()
    first = made(build, lr.Adam, alone, lr=0.1)
    second = made(build, lr.Adam, theirs, lr=0.5)
    for _ in range(3):
        opt.step([a * 1])
        first.step(alone * 1)
    group = {"params": b, "lr": 0.5}
    if add == "add_param_group":
        opt.add_param_group(group)
    elif add == "assign":
        opt.param_groups = [*opt.param_groups, group]
    else:
        getattr(opt.param_groups, add)(*([group] if add == "append" else [1, group]))
    for _ in range(3):
        opt.step([a * 1, b * 1])
        first.step(alone * 1)
        second.step(theirs * 1)
    np.testing.assert_equal([a, b], [alone, theirs])
    assert isinstance(opt.param_groups[1], ParameterGroup)
    assert [g.get("step") for g in opt.state_dict()["groups"]] == [None, 3]
    assert opt.step_count == 6


@every_build
def test_schedules_go_on_for_a_group_that_is_added(build):
    a, b = arrays(1, 1)
    opt = made(build, lr.SGD, [{"params": a}], lr=lambda step: float(step))
    for _ in range(3):
        opt.step([np.ones(1)])
    opt.add_param_group({"params": b})
    before = b.copy()
    opt.step([np.ones(1), np.ones(1)])
    assert b == before - 3.0


@every_build
def test_an_optimizer_without_groups_gets_one_more(build):
    a, b = arrays(2, 2)
    opt = made(build, lr.SGD, a, lr=1.0)
    opt.add_param_group({"params": [b]})
    opt.step([np.ones(2), [np.ones(2)]])
    assert isinstance(opt.params, list)
    with pytest.raises(TypeError, match="grads must be a list with one entry per group"):
        opt.step(np.ones(2))


@every_build
def test_a_group_that_comes_back_goes_on_where_it_was(build):
    params, opt = in_groups(build, n=2)
    other_params, other = in_groups(build, n=2)
    opt.step([p * 1 for p in params])
    group = opt.param_groups.pop()
    opt.step([params[0] * 1])
    opt.param_groups.append(group)
    opt.step([p * 1 for p in params])
    other.step([p * 1 for p in other_params])
    other.step([other_params[0] * 1, None])
    other.step([p * 1 for p in other_params])
    np.testing.assert_equal(params, other_params)


@every_build
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda g, p: g.clear(), ValueError, "param_groups must hold at least one group, got none"),
        (lambda g, p: g.append(g[0]), ValueError, "param_groups[2] must be another group of this optimizer"),
        (lambda g, p: g.append(3), TypeError, "params[2] must be a group like the others, got int"),
        (lambda g, p: g.append({"lr": 1.0}), ValueError, 'params[2] must have the key "params"'),
        (lambda g, p: g.append({"params": p[0]}), ValueError, "must not overlap in memory"),
        (lambda g, p: g.append({"params": p[0][:1]}), ValueError, "must not overlap in memory"),
        (lambda g, p: g.append({"params": np.ones(2), "lr": -1}), ValueError, "lr must be finite and >= 0, got -1.0"),
        (lambda g, p: g.append({"params": np.ones(2), "rate": 1}), ValueError, "rate must not be given"),
        (
            lambda g, p: g.append(lr.Adam([{"params": np.ones(2)}]).param_groups[0]),
            ValueError,
            "must be another group of this optimizer",
        ),
    ],
)
def test_a_list_of_groups_that_cannot_be_is_refused_before_anything_moves(build, change, error, message):
    params, opt = in_groups(build, n=2)
    before = [p.copy() for p in params]
    kept = list(opt.param_groups)
    change(opt.param_groups, params)
    for ask in (
        lambda: opt.step([np.ones(3)] * len(opt.param_groups)),
        opt.state_dict,
        lambda: opt.params,
        lambda: opt.lr,
    ):
        with pytest.raises(error) as raised:
            ask()
        assert message in str(raised.value)
    np.testing.assert_equal(params, before)
    assert opt.step_count == 0
    opt.param_groups[:] = kept
    assert opt.step([np.ones(3)] * 2).step == 1


def test_names_follow_the_order_of_groups_as_in_an_optimizer_made_so():
    a, b = arrays(2, 3)
    opt = lr.Adam([{"params": [a]}, {"params": [b]}])
    opt.step([[a * 1], [b * 1]])
    opt.param_groups.reverse()
    other = lr.Adam([{"params": [b.copy()]}, {"params": [a.copy()]}])
    other.load_state_dict(opt.state_dict())
    assert other.step_count == 1


# Parameters that rest.


class _Apart:
    """A parameter for each optimizer: what many parameters of one must do, some of them resting."""

    def __init__(self, build, cls, values, hyper):
        self.params = [v.copy() for v in values]
        self.opts = [made(build, cls, p, **hyper) for p in self.params]

    def step(self, grads):
        for opt, g in zip(self.opts, grads, strict=True):
            if g is not None:
                opt.step(g)


RESTING = [pytest.param(*case.values, "list", id=f"{case.id}-list") for case in every_optimizer(apart=True)]
RESTING += [
    pytest.param(*case.values, structure, id=f"{case.id}-{structure}")
    for case in each_rule()
    for structure in ("mapping", "buffer", "groups")
    if not case.values[0].together
]


@every_build
@pytest.mark.parametrize(("cls", "hyper", "structure"), RESTING)
def test_a_parameter_that_rests_is_left_alone(cls, hyper, structure, build):
    """It goes on later as one that was alone in its optimizer; steps, decay, averages and numbers too."""
    hyper = {**hyper, "ema": 0.9, "ema_warmup": True}
    values = arrays(3, 5, 1, seed=1)
    alone = _Apart(build, cls, values, hyper)
    params = [v.copy() for v in values]
    names = ["a", "b", "c"]
    given = {
        "list": params,
        "mapping": dict(zip(names, params, strict=True)),
        "buffer": lr.ParameterBuffer(dict(zip(names, params, strict=True))),
        "groups": [{"params": params[:2]}, {"params": {"c": params[2]}}],
    }[structure]
    if structure == "buffer":
        params = list(given.values())
    opt = made(build, cls, given, **hyper)
    rests = [(), (1,), (), (0, 1), (0, 1, 2), (2,), ()]
    for step, resting in enumerate(rests):
        grads = arrays(3, 5, 1, seed=10 + step)
        grads = [None if k in resting else g for k, g in enumerate(grads)]
        alone.step(grads)
        opt.step(
            {
                "list": grads,
                "mapping": dict(zip(names, grads, strict=True)),
                "buffer": dict(zip(names, grads, strict=True)),
                "groups": [grads[:2], {"c": grads[2]}],
            }[structure]
        )
        np.testing.assert_equal(params, alone.params)
    assert opt.step_count == len(rests)
    state = opt.state_dict()["state"]
    for mine, other in zip(state.values(), alone.opts, strict=True):
        np.testing.assert_equal(mine, other.state_dict()["state"]["0"])


@every_build
def test_a_buffer_whose_parts_have_rested_is_stepped_whole_again(build):
    values = {"a": np.ones(3), "b": np.ones(2)}
    buffer, plain = lr.ParameterBuffer(values), {k: v.copy() for k, v in values.items()}
    one, other = made(build, lr.NAdam, buffer, lr=0.1), made(build, lr.NAdam, plain, lr=0.1)
    one.step({"a": np.ones(3), "b": None})
    other.step({"a": np.ones(3), "b": None})
    for g in (None, np.full(5, 2.0)):
        buffer.grads.flat = 2.0
        one.step(g)
        other.step({"a": np.full(3, 2.0), "b": np.full(2, 2.0)})
    np.testing.assert_equal(dict(buffer), plain)


@every_build
def test_a_resting_parameter_has_no_part_in_the_norm(build):
    a, b = np.zeros(2), np.zeros(2)
    opt = made(build, lr.SGD, [a, b], lr=1.0, clip_norm=1e9)
    assert opt.step([np.array([3.0, 4.0]), None]).grad_norm == 5.0
    assert not b.any()
    skip = made(build, lr.SGD, [a, b], lr=1.0, on_nonfinite="skip")
    assert not skip.step([None, np.array([np.nan, 1.0])]).applied
    assert skip.step([None, np.ones(2)]).applied


@every_build
def test_none_for_the_gradients_of_a_group_lets_it_rest(build):
    a, b = np.zeros(2), [np.zeros(2), np.zeros(1)]
    opt = made(build, lr.SGD, [{"params": a}, {"params": b}], lr=1.0)
    opt.step([np.ones(2), None])
    assert a.all()
    assert not b[0].any()
    assert not b[1].any()


@every_build
def test_zeroing_leaves_resting_gradients_alone_and_reaches_the_others(build):
    g = np.ones(2)
    made(build, lr.SGD, [np.zeros(2), np.zeros(1)], lr=1.0).step([g, None], zero_grad=True)
    assert not g.any()


@every_build
@pytest.mark.parametrize("way", ["load", "deepcopy", "pickle"])
def test_a_run_in_which_parameters_rest_goes_on_with_the_same_bits(build, way):
    def rest(k):
        return [np.ones(3), np.ones(2)] if k % 3 else [np.ones(3), None]

    def optimizer():
        return made(build, lr.NAdam, arrays(3, 2), lr=0.1, ema=0.9)

    straight, broken = optimizer(), optimizer()
    for k in range(8):
        straight.step(rest(k))
    for k in range(4):
        broken.step(rest(k))
    if way == "load":
        other = optimizer()
        for mine, theirs in zip(other.params, broken.params, strict=True):
            mine[...] = theirs
        other.load_state_dict(broken.state_dict())
    else:
        with kernels.using(build):
            other = copy.deepcopy(broken) if way == "deepcopy" else pickle.loads(pickle.dumps(broken))
    for k in range(4, 8):
        other.step(rest(k))
    np.testing.assert_equal(other.params, straight.params)
    np.testing.assert_equal(other.state_dict(), straight.state_dict())
    assert straight.state_dict()["groups"][0]["step"] == [8, 5]


@settings(max_examples=60, deadline=None)
@given(
    pattern=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=8),
    case=st.sampled_from([(p.values[0], p.values[1]) for p in every_optimizer(apart=True)]),
    build=st.sampled_from(BUILDS),
    clipnorm=st.booleans(),
)
def test_any_pattern_of_rest(pattern, case, build, clipnorm):
    cls, hyper = case
    hyper = {**hyper, **({"clipnorm": 0.5} if clipnorm else {})}
    values = arrays(2, 1, 4, seed=3)
    alone = _Apart("reference", cls, values, hyper)
    params = [v.copy() for v in values]
    opt = made(build, cls, params, **hyper)
    for step, rests in enumerate(pattern):
        grads = [None if r else g for r, g in zip(rests, arrays(2, 1, 4, seed=50 + step), strict=True)]
        alone.step(grads)
        opt.step(grads)
    np.testing.assert_equal(params, alone.params)


@pytest.mark.parametrize(
    ("cls", "hyper"),
    [(lr.Adam, {}), (lr.NAdam, {}), (lr.Adagrad, {"lr_decay": 0.1}), (lr.SGD, {"momentum": 0.9, "dampening": 0.5})],
)
def test_rest_is_that_of_torch(cls, hyper):
    torch = pytest.importorskip("torch")
    values = arrays(3, 2, seed=4)
    params = [v.copy() for v in values]
    tensors = [torch.tensor(v, requires_grad=True) for v in values]
    opt = cls(params, lr=0.1, weight_decay=0.1, **hyper)
    theirs = getattr(torch.optim, cls.__name__)(tensors, lr=0.1, weight_decay=0.1, **hyper)
    late, late_tensor = np.ones(2), torch.ones(2, dtype=torch.float64, requires_grad=True)
    for step in range(150):
        if step == 60:
            opt.add_param_group({"params": late, "lr": 0.3})
            theirs.add_param_group({"params": [late_tensor], "lr": 0.3})
        grads = [None if (step + k) % 3 == 0 else g for k, g in enumerate(arrays(3, 2, seed=step))]
        g = np.cos(step + np.arange(2.0))
        for tensor, grad in zip(tensors, grads, strict=True):
            tensor.grad = None if grad is None else torch.tensor(grad)
        late_tensor.grad = torch.tensor(g)
        theirs.step()
        opt.step(grads if step < 60 else [grads, g])
    for mine, tensor in zip([*params, late], [*tensors, late_tensor], strict=True):
        np.testing.assert_allclose(mine, tensor.detach().numpy(), rtol=1e-9, atol=1e-12)


# Each array by itself.


@every_build
@pytest.mark.parametrize("container", [list, tuple, lr.ParameterBuffer])
def test_clipnorm_bounds_each_gradient_by_itself(build, container):
    params = container([np.zeros(2), np.zeros(2), np.zeros(1)])
    opt = made(build, lr.SGD, params, lr=1.0, clipnorm=1.0)
    grads = [np.array([3.0, 4.0]), np.array([0.3, 0.4]), np.array([-2.0])]
    opt.step(dict(zip(params, grads, strict=True)) if container is lr.ParameterBuffer else container(grads))
    got = list(params.values()) if container is lr.ParameterBuffer else params
    np.testing.assert_allclose(np.concatenate(got), [-0.6, -0.8, -0.3, -0.4, 1.0], rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_buffer_and_a_list_clip_each_array_to_the_same_bits(dtype):
    rng = np.random.default_rng(0)
    values = [rng.standard_normal(n).astype(dtype) for n in (5000, 1, 0, 2049)]
    grads = [rng.standard_normal(n).astype(dtype) for n in (5000, 1, 0, 2049)]
    results = []
    for build in BUILDS:
        for container in (list, lr.ParameterBuffer):
            params = container([v.copy() for v in values])
            opt = made(build, lr.Adam, params, clipnorm=0.7, clip_value=0.1)
            for _ in range(3):
                opt.step(dict(zip(params, grads, strict=True)) if container is lr.ParameterBuffer else grads)
                if container is lr.ParameterBuffer:
                    params.grads.flat = np.concatenate(grads)
                    opt.step()  # also from beside the parameters, swept by name
                    opt.step(np.concatenate(grads))
                else:
                    opt.step(grads)
                    opt.step(grads)
            results.append(np.concatenate(list(params.values()) if container is lr.ParameterBuffer else params))
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0], strict=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_clipnorm_is_that_of_keras(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    values = arrays(3, 4, seed=5)
    params = [v.copy() for v in values]
    variables = [keras.Variable(v, dtype="float64") for v in values]
    opt = lr.Adam(params, lr=0.1, like="keras", clipnorm=0.9)
    theirs = keras.optimizers.Adam(0.1, clipnorm=0.9)
    theirs.build(variables)
    for step in range(60):
        grads = [g * 10.0 ** (step % 3 - 2) for g in arrays(3, 4, seed=step)]
        theirs.apply(grads := [np.array(g) for g in grads], variables)
        opt.step(grads)
    for mine, variable in zip(params, variables, strict=True):
        # Keras compares the norm with the bound in float32 on this backend.
        np.testing.assert_allclose(mine, keras.ops.convert_to_numpy(variable), rtol=1e-6)


def test_clipnorm_and_clip_norm_exclude_each_other():
    with pytest.raises(ValueError, match=r"clipnorm must not be given with clip_norm, got 1\.0 and 2\.0"):
        lr.SGD(np.zeros(2), clip_norm=2.0, clipnorm=1.0)
    opt = lr.SGD(np.zeros(2), clip_norm=2.0)
    with pytest.raises(ValueError, match="clipnorm must not be given with clip_norm"):
        opt.clipnorm = 1.0
    opt.clip_norm = None
    opt.clipnorm = 1.0
    opt.step(np.array([30.0, 40.0]))
    np.testing.assert_allclose(opt.params, [-0.6e-3, -0.8e-3], rtol=1e-15)


class Trusting(lr.SGD):
    """Layer-wise trust ratios over momentum, a count of its own, and a state that the rule does not see."""

    sums = ("gg", "gt", "tt")
    numbers = {"seen": "[0, inf)"}  # noqa: RUF012
    shapes = {"rows": lambda shape: shape[:1]}  # noqa: RUF012

    @staticmethod
    def _initial_numbers(like):
        return {"seen": 0.0}

    def _coefficients(self, rule, h, lr, t, numbers):
        ratio = math.sqrt(numbers["tt"] / numbers["gg"])
        return super()._coefficients(rule, h, lr * ratio / (1.0 + abs(numbers["gt"])), t, numbers)

    def _advance(self, h, t, numbers):
        return {"seen": numbers["seen"] + numbers["gg"]}


@every_build
@pytest.mark.parametrize("container", [list, lr.ParameterBuffer])
def test_terms_are_formed_of_the_sums_of_each_array(build, container):
    values = arrays(3, 2500, seed=6)
    params = container([v.copy() for v in values])
    opt = made(build, Trusting, params, lr=0.1, momentum=0.5)
    expected, velocity, seen = [v.copy() for v in values], [0.0, 0.0], [0.0, 0.0]
    for step in range(4):
        grads = arrays(3, 2500, seed=20 + step)
        opt.step([*grads] if container is list else dict(zip(params, grads, strict=True)), grad_scale=4.0)
        for k, g in enumerate(g / 4 for g in grads):
            rate = 0.1 * math.sqrt(expected[k] @ expected[k] / (g @ g)) / (1 + abs(g @ expected[k]))
            velocity[k] = 0.5 * velocity[k] + g
            seen[k] += g @ g
            expected[k] = expected[k] - rate * velocity[k]
    got = params if container is list else list(params.values())
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)
    saved = opt.state_dict()
    np.testing.assert_allclose(saved["groups"][0]["seen"], seen, rtol=1e-12)
    assert saved["state"]["0"]["rows"].shape == (3,)
    other = made(build, Trusting, container([np.array(p) for p in got]), lr=0.1, momentum=0.5)
    other.load_state_dict(saved)
    np.testing.assert_equal(other.state_dict(), saved)
    saved["groups"][0]["seen"] = -1.0
    with pytest.raises(ValueError, match=r"\['seen'\] must be finite and >= 0, got -1.0"):
        other.load_state_dict(saved)


class Anchored(lr.Adagrad):
    """A state that begins as its parameter."""

    @staticmethod
    def _initial(h):
        return {"s": "parameter"}


@every_build
def test_a_state_may_begin_as_its_parameter(build):
    values = arrays(3, 2)
    for container in (list, lr.ParameterBuffer):
        params = container([np.abs(v) for v in values])
        state = made(build, Anchored, params).state_dict()["state"]
        np.testing.assert_equal([s["s"] for s in state.values()], [np.abs(v) for v in values])


@every_build
@pytest.mark.parametrize("of", ["gg", "gt", "tt"])
def test_block_sums_leave_the_sweep(build, of):
    theta, g = arrays(5000, 5000, seed=7)
    sweep = kernels.module(build).Sweep([("sgd", [(theta, [], None)])])
    a, b = {"gg": (g, g), "gt": (g, theta), "tt": (theta, theta)}[of]
    sums = sweep.block_sums([g], of)
    np.testing.assert_allclose(sums, [a[k : k + 2048] @ b[k : k + 2048] for k in (0, 2048, 4096)], rtol=1e-12)
    total = 0.0
    for term in sums:
        total += term
    assert sweep.total([g], of) == total
    assert sweep.totals([g], of) == [total]
    assert sweep.total([None], of) == 0.0
    assert sweep.chunks == [0, 3]


# Ascent.


@every_build
@pytest.mark.parametrize(("cls", "hyper"), every_optimizer())
def test_maximize_ascends(cls, hyper, build):
    a, b = arrays(4, 4)
    b[...] = a
    up = made(build, cls, a, maximize=True, clip_value=0.9, **hyper)
    down = made(build, cls, b, clip_value=0.9, **hyper)
    for step in range(3):
        (g,) = arrays(4, seed=step)
        up.step(g)
        down.step(-g)
    np.testing.assert_array_equal(a, b)


@every_build
def test_a_group_ascends_by_itself(build):
    a, b = np.zeros(2), np.zeros(2)
    opt = made(build, lr.SGD, [{"params": a}, {"params": b, "maximize": True}], lr=1.0)
    opt.step([np.ones(2), np.ones(2)])
    assert (a == -1).all()
    assert (b == 1).all()
    opt.param_groups[1]["maximize"] = False
    opt.step([np.ones(2), np.ones(2)])
    assert (b == 0).all()


# Memory that is given.


def test_a_buffer_lies_in_the_memory_given():
    memory = bytearray(5 * 8 + 3)
    params = lr.ParameterBuffer({"a": np.arange(3.0), "b": np.ones(2)}, memory=memory)
    opt = lr.SGD(params, lr=1.0)
    params.grads.flat = 1.0
    opt.step()
    np.testing.assert_array_equal(np.frombuffer(memory, np.float64, 5), [-1, 0, 1, 0, 0])
    for wrong, error in (
        (bytes(40), ValueError),
        (bytearray(39), ValueError),
        ("text", TypeError),
        (np.zeros((4, 4))[:, 1], TypeError),
    ):
        with pytest.raises(error, match="memory must"):
            lr.ParameterBuffer({"a": np.zeros(5)}, memory=wrong)


def test_an_allocator_gives_the_memory_of_the_state():
    asked = []

    def allocator(count, size, dtype):
        asked.append((count, size, dtype))
        return list(np.full((count, size), 7, dtype))

    params = [np.zeros(3), np.zeros(2, np.float32)]
    opt = lr.Adam(params, lr=0.1, allocator=allocator)
    assert [a[0] for a in asked] == [2, 2]
    assert opt.param_groups[0].states["m"][0].base is not None
    plain = [np.zeros(3), np.zeros(2, np.float32)]
    other = lr.Adam(plain, lr=0.1)
    for _ in range(2):
        opt.step([np.ones(3), np.ones(2, np.float32)])
        other.step([np.ones(3), np.ones(2, np.float32)])
    np.testing.assert_equal(params, plain)
    assert copy.deepcopy(opt).step_count == 2
    for wrong in (
        lambda c, s, d: [],
        lambda c, s, d: [np.zeros(s, d)] * c,
        lambda c, s, d: [np.zeros(s + 1, d) for _ in range(c)],
    ):
        with pytest.raises(ValueError, match="allocator"):
            lr.Adam(np.zeros(3), allocator=wrong)

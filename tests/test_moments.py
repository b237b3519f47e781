"""Descendants of Adam with other moments: against the libraries that have them and against their papers."""

import math
from importlib.metadata import version

import numpy as np
import pytest
from conftest import BUILDS
from peers import assert_agree, formula, ours, timm, torchs

import lrcore as lr
from lrcore import kernels

BETAS = (0.8, 0.95)
TRIPLE = (0.9, 0.7, 0.95)


# Formulas, written as the papers have them.


def adabelief(betas, eps, eps_root, weight_decay=0.0, rectify=False, nesterov=False, sgd=True):
    """Zhuang et al. 2020, algorithm 2; rectified by Liu et al. 2020, algorithm 2, with eps beside an uncorrected s."""
    b1, b2 = betas

    def update(theta, g, state, t, eta):
        m = b1 * state.get("m", 0.0) + (1 - b1) * g
        s = b2 * state.get("s", 0.0) + (1 - b2) * (g - m) ** 2 + eps_root
        state.update(m=m, s=s)
        theta = theta - eta * weight_decay * theta
        if rectify:
            rho_inf = 2 / (1 - b2) - 1
            rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
            if rho >= 5:
                r = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
                return theta - eta * r * math.sqrt(1 - b2**t) / (1 - b1**t) * m / (np.sqrt(s) + eps)
            return theta - eta / (1 - b1**t) * m if sgd else theta
        m_hat = m / (1 - b1**t)
        if nesterov:
            m_hat = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        return theta - eta * m_hat / (np.sqrt(s / (1 - b2**t)) + eps)

    return update


def yogi(betas, eps, m_0, v_0, corrected):
    """Zaheer et al. 2018, algorithm 2."""
    b1, b2 = betas

    def update(theta, g, state, t, eta):
        m = b1 * state.get("m", m_0) + (1 - b1) * g
        v = state.get("v", v_0)
        v = v - (1 - b2) * np.sign(v - g**2) * g**2
        state.update(m=m, v=v)
        if corrected:
            m, v = m / (1 - b1**t), v / (1 - b2**t)
        return theta - eta * m / (np.sqrt(v) + eps)

    return update


def adan(betas, eps, eps_root, gamma, weight_decay, proximal):
    """Xie et al. 2022, algorithm 1, where each beta is 1 minus that of ``betas``."""
    b1, b2, b3 = (1 - beta for beta in betas)

    def update(theta, g, state, t, eta):
        difference = g - state.get("g", g)
        m = (1 - b1) * state.get("m", 0.0) + b1 * g
        v = (1 - b2) * state.get("v", 0.0) + b2 * difference
        n = (1 - b3) * state.get("n", 0.0) + b3 * (g + gamma * difference) ** 2
        state.update(g=g, m=m, v=v, n=n)
        m_hat, v_hat, n_hat = m / (1 - (1 - b1) ** t), v / (1 - (1 - b2) ** t), n / (1 - (1 - b3) ** t)
        step = eta / (np.sqrt(n_hat + eps_root) + eps) * (m_hat + gamma * v_hat)
        if proximal:
            return (theta - step) / (1 + eta * weight_decay)
        return (1 - eta * weight_decay) * theta - step

    return update


def ademamix(betas, alpha, eps, eps_root, weight_decay, warmup):
    """Pagliardini et al. 2024, algorithm 1 and section 3."""
    b1, b2, b3_final = betas

    def update(theta, g, state, t, eta):
        a, b3 = alpha, b3_final
        if warmup:
            a = min(t * alpha / warmup, alpha)
            x = min(t / warmup, 1.0)
            b3 = math.exp(math.log(b1) * math.log(b3) / ((1 - x) * math.log(b3) + x * math.log(b1)))
        m = b1 * state.get("m", 0.0) + (1 - b1) * g
        slow = b3 * state.get("slow", 0.0) + (1 - b3) * g
        v = b2 * state.get("v", 0.0) + (1 - b2) * g**2
        state.update(m=m, slow=slow, v=v)
        step = (m / (1 - b1**t) + a * slow) / (np.sqrt(v / (1 - b2**t) + eps_root) + eps)
        return theta - eta * (step + weight_decay * theta)

    return update


def adopt(betas, eps, clip, nesterov=False, l2=0.0, decay=0.0, decay_at_once=False):
    """Taniguchi et al. 2024, algorithm 2."""
    b1, b2 = betas

    def update(theta, g, state, t, eta):
        g = g + l2 * theta
        if t == 1:
            state.update(m=0.0, v=g**2)
            return theta - eta * decay * theta if decay_at_once else theta
        u = np.clip(g / np.maximum(np.sqrt(state["v"]), eps), -clip(t), clip(t))
        m = b1 * state["m"] + (1 - b1) * u
        state.update(m=m, v=b2 * state["v"] + (1 - b2) * g**2)
        return theta - eta * decay * theta - eta * (b1 * m + (1 - b1) * u if nesterov else m)

    return update


def acprop(betas, eps, eps_root, weight_decay, new_m):
    """Zhuang et al. 2021, algorithm 2."""
    b1, b2 = betas

    def update(theta, g, state, t, eta):
        size = np.sqrt(state["s"] / (1 - b2 ** (t - 1))) if t > 1 else 1.0
        before = state.get("m", 0.0)
        m = b1 * before + (1 - b1) * g
        s = b2 * state.get("s", 0.0) + (1 - b2) * (g - (m if new_m else before)) ** 2 + eps_root
        state.update(m=m, s=s)
        return theta - eta * (g / (size + eps) + weight_decay * theta)

    return update


FORMULAS = {
    "AdaBelief-optax": ({}, adabelief((0.9, 0.999), 1e-16, 1e-16)),
    "AdaBelief-optax-all": (
        {"betas": BETAS, "eps": 1e-6, "eps_root": 1e-7, "nesterov": True},
        adabelief(BETAS, 1e-6, 1e-7, nesterov=True),
    ),
    "AdaBelief-timm": ({}, adabelief((0.9, 0.999), 1e-16, 1e-16, rectify=True)),
    "AdaBelief-timm-all": (
        {"betas": BETAS, "eps": 1e-6, "weight_decay": 0.1, "degenerated_to_sgd": False},
        adabelief(BETAS, 1e-6, 1e-6, 0.1, rectify=True, sgd=False),
    ),
    "AdaBelief-timm-late": ({"betas": (0.8, 0.7)}, adabelief((0.8, 0.7), 1e-16, 1e-16, rectify=True)),  # from t = 10
    "AdaBelief-timm-never": ({"betas": (0.8, 0.6)}, adabelief((0.8, 0.6), 1e-16, 1e-16, rectify=True)),
    "AdaBelief-timm-plain": ({"rectify": False, "eps": 1e-8}, adabelief((0.9, 0.999), 1e-8, 1e-8)),
    "Yogi-optax": ({}, yogi((0.9, 0.999), 1e-3, 1e-6, 1e-6, True)),
    "Yogi-paper": ({}, yogi((0.9, 0.999), 1e-3, 0.0, 1e-6, False)),
    "Yogi-paper-all": (
        {"betas": BETAS, "eps": 1e-6, "initial_accumulator_value": 0.5},
        yogi(BETAS, 1e-6, 0.0, 0.5, False),
    ),
    "Adan-optax": ({}, adan((0.98, 0.92, 0.99), 1e-8, 1e-8, 1 - 0.92, 0.0, False)),
    "Adan-optax-all": (
        {"betas": TRIPLE, "eps": 1e-6, "eps_root": 1e-7, "weight_decay": 0.1},
        adan(TRIPLE, 1e-6, 1e-7, 1 - 0.7, 0.1, False),
    ),
    "Adan-timm": ({}, adan((0.98, 0.92, 0.99), 1e-8, 0.0, 0.92, 0.0, True)),
    "Adan-timm-all": ({"betas": TRIPLE, "eps": 1e-6, "weight_decay": 0.1}, adan(TRIPLE, 1e-6, 0.0, 0.7, 0.1, True)),
    "Adan-timm-no_prox": (
        {"weight_decay": 0.1, "no_prox": True},
        adan((0.98, 0.92, 0.99), 1e-8, 0.0, 0.92, 0.1, False),
    ),
    "AdEMAMix-optax": ({}, ademamix((0.9, 0.999, 0.9999), 5.0, 1e-8, 0.0, 0.0, 0)),
    "AdEMAMix-optax-all": (
        {"betas": TRIPLE, "alpha": 3.0, "eps": 1e-6, "eps_root": 1e-7, "weight_decay": 0.1},
        ademamix(TRIPLE, 3.0, 1e-6, 1e-7, 0.1, 0),
    ),
    "AdEMAMix-paper": ({}, ademamix((0.9, 0.999, 0.9999), 5.0, 1e-8, 0.0, 0.0, 0)),
    "AdEMAMix-paper-warmup": (
        {"t_alpha_beta3": 90.0, "weight_decay": 0.1},
        ademamix((0.9, 0.999, 0.9999), 5.0, 1e-8, 0.0, 0.1, 90.0),
    ),
    "ADOPT-optax": ({}, adopt((0.9, 0.9999), 1e-6, lambda t: (t - 1) ** 0.25)),
    "ADOPT-optax-all": (
        {"betas": BETAS, "eps": 1e-3, "nesterov": True, "use_clipping": False},
        adopt(BETAS, 1e-3, lambda t: math.inf, nesterov=True),
    ),
    "ADOPT-timm": ({}, adopt((0.9, 0.9999), 1e-6, lambda t: (t - 1) ** 0.333)),
    "ADOPT-timm-l2": (
        {"betas": BETAS, "weight_decay": 0.1, "clip_exp": 0.1},
        adopt(BETAS, 1e-6, lambda t: (t - 1) ** 0.1, l2=0.1),
    ),
    "ADOPT-timm-decoupled": (
        {"weight_decay": 0.1, "clip_exp": math.inf, "eps": 0.1, "decoupled_weight_decay": True},
        adopt((0.9, 0.9999), 0.1, lambda t: math.inf, decay=0.1),
    ),
    "ADOPT-pytorch_optimizer": ({}, adopt((0.9, 0.9999), 1e-6, lambda t: t**0.25)),
    "ADOPT-pytorch_optimizer-decoupled": (
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        adopt((0.9, 0.9999), 1e-6, lambda t: t**0.25, decay=0.1, decay_at_once=True),
    ),
    "ACProp-optax": ({"weight_decay": 0.1}, acprop((0.9, 0.999), 1e-16, 1e-16, 0.1, False)),
    "ACProp-paper": ({"weight_decay": 0.1}, acprop((0.9, 0.999), 1e-16, 1e-16, 0.1, True)),
    "ACProp-paper-all": ({"betas": BETAS, "eps": 1e-5, "eps_root": 1e-6}, acprop(BETAS, 1e-5, 1e-6, 0.0, True)),
}


@pytest.mark.parametrize("case", FORMULAS)
def test_by_the_papers(case):
    name, like, *_ = case.split("-")
    hyper, update = FORMULAS[case]
    assert_agree(ours(getattr(lr, name), like=like, **hyper), formula(update))


@pytest.mark.parametrize(
    "hyper",
    [
        {},
        {"betas": BETAS, "eps": 1e-6, "weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": False, "eps": 1e-10},
        {"rectify": False, "eps": 1e-8, "weight_decay": 0.1},
        {"degenerated_to_sgd": False, "weight_decay": 0.1, "betas": (0.8, 0.7)},
        {"betas": (0.8, 0.7)},
    ],
)
def test_adabelief_of_timm(hyper):
    theirs = {"decoupled_decay" if key == "decoupled_weight_decay" else key: value for key, value in hyper.items()}
    assert_agree(ours(lr.AdaBelief, like="timm", **hyper), torchs(timm("adabelief").AdaBelief, **theirs))


@pytest.mark.parametrize(
    "hyper",
    [
        {},
        {"betas": TRIPLE, "eps": 1e-5, "weight_decay": 0.1},
        {"weight_decay": 0.1, "no_prox": True},
    ],
)
def test_adan_of_timm(hyper):
    assert_agree(ours(lr.Adan, like="timm", **hyper), torchs(timm("adan").Adan, **hyper))


@pytest.mark.parametrize("hyper", [{}, {"betas": TRIPLE, "alpha": 3.0, "eps": 1e-5, "weight_decay": 0.1}])
@pytest.mark.parametrize("warmup", [0.0, 90.0, 200.0])
def test_ademamix_of_pytorch_optimizer(hyper, warmup):
    theirs = pytest.importorskip("pytorch_optimizer").AdEMAMix
    if int(version("pytorch_optimizer").partition(".")[0]) < 4:
        pytest.skip("before version 4 another formula")
    assert_agree(
        ours(lr.AdEMAMix, like="paper", t_alpha_beta3=warmup, **hyper),
        torchs(theirs, t_alpha_beta3=warmup or None, weight_decouple=True, **hyper),
    )


@pytest.mark.parametrize(
    "hyper",
    [
        {},
        {"betas": BETAS, "eps": 1e-3, "weight_decay": 0.1, "clip_exp": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"eps": 0.1, "clip_exp": math.inf},
    ],
)
def test_adopt_of_timm(hyper):
    theirs = {"decoupled" if key == "decoupled_weight_decay" else key: value for key, value in hyper.items()}
    if hyper.get("clip_exp") == math.inf:
        theirs["clip_exp"] = None
    assert_agree(ours(lr.ADOPT, like="timm", **hyper), torchs(timm("adopt").Adopt, **theirs))


@pytest.mark.parametrize(
    "hyper",
    [{}, {"betas": BETAS, "eps": 1e-3, "weight_decay": 0.1}, {"weight_decay": 0.1, "decoupled_weight_decay": True}],
)
def test_adopt_of_pytorch_optimizer(hyper):
    peer = pytest.importorskip("pytorch_optimizer").ADOPT
    theirs = {"weight_decouple" if key == "decoupled_weight_decay" else key: value for key, value in hyper.items()}
    assert_agree(ours(lr.ADOPT, like="pytorch_optimizer", **hyper), torchs(peer, **theirs))


def test_a_triple_of_betas_is_checked():
    w = np.ones(2)
    for cls in (lr.Adan, lr.AdEMAMix):
        with pytest.raises(ValueError, match="betas must be a triple of numbers, got 2 of them"):
            cls(w, lr=0.1, betas=(0.9, 0.99))
        with pytest.raises(TypeError, match=r"betas must be a triple of numbers, got 0\.9"):
            cls(w, lr=0.1, betas=0.9)
        with pytest.raises(ValueError, match=r"betas\[2\] must be in \[0, 1\), got 1.0"):
            cls(w, lr=0.1, betas=(0.9, 0.99, 1.0))
        opt = cls(w, lr=0.1, betas=np.array([0.9, 0.8, 0.7]))
        assert opt.param_groups[0]["betas"] == (0.9, 0.8, 0.7)
        with pytest.raises(ValueError, match="betas must be a triple of numbers, got 4 of them"):
            opt.param_groups[0]["betas"] = (0.9,) * 4
        saved = opt.state_dict()
        saved["groups"][0]["betas"] = (0.9, 0.8)
        with pytest.raises(ValueError, match="betas must be a triple of numbers, got 2 of them"):
            opt.load_state_dict(saved)
        assert opt.param_groups[0]["betas"] == (0.9, 0.8, 0.7)


def test_each_of_a_triple_may_follow_a_schedule():
    schedule = lr.schedules.Linear(0.5, 0.9, steps=4)
    w, u = np.ones(2), np.ones(2)
    opt = lr.AdEMAMix(w, lr=0.1, betas=(0.9, 0.99, schedule))
    other = lr.AdEMAMix(u, lr=0.1, betas=(0.9, 0.99, 0.5))
    for step in range(6):
        other.param_groups[0]["betas"] = (0.9, 0.99, schedule(step))
        for optimizer in (opt, other):
            optimizer.step(np.array([1.0, -step]))
    np.testing.assert_array_equal(w, u)
    opt.param_groups[0]["betas"] = (0.9, 0.99, lambda step: step / 7)
    opt.step(np.ones(2))
    with pytest.raises(ValueError, match=r"betas\[2\] at step 7 must be in \[0, 1\), got 1.0"):
        opt.step(np.ones(2))


def test_a_warmup_of_ademamix_without_a_first_momentum():
    """As the formula of beta3 says where the logarithm of beta1 goes to minus infinity."""
    w = [np.ones(1), np.ones(1)]
    opt = lr.AdEMAMix(w[0], lr=0.1, like="paper", betas=(0.0, 0.9, 0.99), t_alpha_beta3=8.0)
    by_hand = lr.AdEMAMix(w[1], lr=0.1, betas=(0.0, 0.9, lambda k: 0.99 ** (8 / min(k + 1, 8))),
                          alpha=lambda k: 5.0 * min(k + 1, 8) / 8)  # fmt: skip
    for k in range(12):
        for optimizer in (opt, by_hand):
            optimizer.step(np.array([math.cos(k)]))
    np.testing.assert_allclose(w[0], w[1], rtol=1e-13)
    with pytest.raises(ValueError, match="t_alpha_beta3 must not be given with like='optax'"):
        lr.AdEMAMix(np.ones(2), lr=0.1, t_alpha_beta3=5.0)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(
    ("cls", "like"),
    [
        (lr.Adan, "optax"),
        (lr.Adan, "timm"),
        (lr.ADOPT, "optax"),
        (lr.ADOPT, "timm"),
        (lr.ACProp, "optax"),
        (lr.AdaBelief, "timm"),
        (lr.AdEMAMix, "paper"),
        (lr.Yogi, "optax"),
    ],
)
def test_a_parameter_that_rests_begins_with_its_own_first_step(cls, like, build):
    """Also in a buffer: as if it had been alone, and its steps the only ones."""
    extra = {"t_alpha_beta3": 4.0} if cls is lr.AdEMAMix else {}
    if "weight_decay" in cls.defaults[like]:
        extra["weight_decay"] = 0.1
    if "decoupled_weight_decay" in cls.defaults[like]:
        extra["decoupled_weight_decay"] = True
    grads = [np.array([math.cos(k), -0.5 * k, 0.0]) for k in range(9)]
    rests = (0, 1, 4)
    with kernels.using(build):
        for wrap in (dict, lr.ParameterBuffer):
            params = wrap({"one": np.ones(3), "two": np.ones(3)})
            opt = cls(params, lr=0.1, like=like, **extra)
            alone = np.ones(3)
            single = cls(alone, lr=0.1, like=like, **extra)
            for k, g in enumerate(grads):
                opt.step({"one": g, "two": None if k in rests else g})
                if k not in rests:
                    single.step(g)
            np.testing.assert_array_equal(params["two"], alone)
            assert not np.array_equal(params["one"], alone)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("like", ["optax", "timm", "pytorch_optimizer"])
@pytest.mark.parametrize("eps", [0.0, 1e-6])
def test_the_first_step_of_adopt_moves_nothing(like, eps, build):
    w = np.array([1.0, -2.0, 0.0])
    with kernels.using(build):
        opt = lr.ADOPT(w, lr=0.1, like=like, eps=eps)
    opt.step(np.array([3.0, -1e-300, 0.0]))
    np.testing.assert_array_equal(w, [1.0, -2.0, 0.0])
    state = opt.state_dict()["state"]["0"]
    np.testing.assert_array_equal(state["m"], 0)
    np.testing.assert_array_equal(state["v"], [9.0, 0.0, 0.0])


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize(
    "cls", [lr.AdaBelief, lr.Yogi, lr.Adan, lr.AdEMAMix, lr.ADOPT, lr.ACProp], ids=lambda cls: cls.__name__
)
def test_a_nan_stays(cls, build):
    w = np.ones(2, np.float32)
    with kernels.using(build):
        opt = cls(w, lr=0.1)
    for g in (np.nan, 1.0, 1.0):
        opt.step(np.array([g, 1.0], np.float32))
    assert np.isnan(w[0])
    assert np.isfinite(w[1])


@pytest.mark.parametrize("x", [0.9, 0.999, 0.9999, 0.5, 1e-300, 1.0, 7.0])
def test_a_logarithm_is_that_of_the_mathematics(x):
    assert kernels.logarithm(x) == pytest.approx(math.log(x), rel=2e-16, abs=0.0)


def test_a_logarithm_of_nothing_is_nan():
    assert math.isnan(kernels.logarithm(0.0))

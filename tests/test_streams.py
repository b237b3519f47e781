"""How memory is walked is learned from times, at little cost, in spite of noise; no bit depends on it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from conftest import BUILDS, each_rule, gradients
from hypothesis import given, settings
from hypothesis import strategies as st

import lrcore as lr
from lrcore import kernels
from lrcore.pool import config, learned

COMPILED = [build for build in BUILDS if build != "reference"]
pytestmark = pytest.mark.skipif(not COMPILED, reason="no compiled build, no pool")
pool = import_module("lrcore._lrcore_pool") if COMPILED else None
WAYS = pool.STREAMS if pool else ()
LARGE = 64 << 20  # bytes moved
BASE = 1_000_000  # ns of the quickest way


def walk(learner, costs, steps, model=1, noise=lambda: 1.0):
    """Ways of so many steps, in a world where each takes its cost, and what they took in all."""
    ways, total = [], 0.0
    for _ in range(steps):
        way, noted = learner.choose(model, LARGE)
        took = BASE * costs[way] * noise()
        if noted:
            learner.note(model, LARGE, int(took))
        ways.append(way)
        total += costs[way]
    return ways, total


@settings(max_examples=200, deadline=None)
@given(best=st.sampled_from(WAYS or ("none",)), slower=st.lists(st.floats(1.03, 1.25), min_size=8, max_size=8))
def test_the_quickest_is_found_for_the_price_of_two_slower_steps(best, slower):
    costs = dict(zip(WAYS, slower, strict=False)) | {best: 1.0}
    learner = pool.Learner()
    ways, total = walk(learner, costs, 60)
    assert learner.settled
    assert learner.best == best
    assert set(ways[-20:]) == {best}
    first = costs[ways[0]] - 1  # that of a process that would not learn
    assert total - 60 <= 60 * first / 2 + 12 * 0.25
    even = walk(pool.Learner(), dict.fromkeys(WAYS, 1.08) | {ways[0]: 1.0}, 60)[1]
    assert even - 60 <= 1


@pytest.mark.parametrize("awful", WAYS)
def test_a_way_that_is_catastrophically_slow_is_tried_twice_and_then_seldom(awful):
    learner = pool.Learner()
    costs = dict.fromkeys(WAYS, 1.0) | {awful: 40.0}
    ways, _ = walk(learner, costs, 100)
    tries = ways.count(awful)
    assert tries <= 2 or (ways[0] == awful and tries <= 4)  # the way that it began with
    assert learner.best != awful
    later, _ = walk(learner, costs, 6400)
    assert later.count(awful) <= 6


def test_noise_does_not_choose():
    rng = np.random.default_rng(5)
    right = 0
    for seed in range(50):
        costs = dict.fromkeys(WAYS, 1.1) | {WAYS[seed % len(WAYS)]: 1.0}
        learner = pool.Learner()
        walk(learner, costs, 3000, noise=lambda: rng.uniform(1, 1.03) * (10 if rng.random() < 0.2 else 1))
        right += learner.best == WAYS[seed % len(WAYS)]
    assert right >= 45


def test_a_wrong_choice_heals():
    for was, now in zip(WAYS, WAYS[1:] + WAYS[:1], strict=True):
        learner = pool.Learner()
        walk(learner, dict.fromkeys(WAYS, 1.1) | {was: 1.0}, 60)
        assert learner.best == was
        ways, _ = walk(learner, dict.fromkeys(WAYS, 1.1) | {now: 1.0}, 2000)
        assert learner.best == now
        assert ways.count(now) > 1000


def test_equal_ways_are_left_alone():
    rng = np.random.default_rng(6)
    learner = pool.Learner()
    begun, _ = walk(learner, dict.fromkeys(WAYS, 1.0), 1)
    ways, _ = walk(learner, dict.fromkeys(WAYS, 1.0), 10_000, noise=lambda: rng.uniform(1, 1.02))
    assert ways.count(begun[0]) > 9_800


def test_steps_of_several_models_are_not_compared():
    """Two in turn, one ten times as slow: what is learned is as of each alone."""
    learner = pool.Learner()
    best = WAYS[-1]
    costs = dict.fromkeys(WAYS, 1.1) | {best: 1.0}
    for _ in range(300):
        walk(learner, costs, 1, model=1)
        walk(learner, {way: 10 * cost for way, cost in costs.items()}, 1, model=2)
    assert learner.best == best


def test_a_model_that_is_gone_holds_up_nothing():
    learner = pool.Learner()
    costs = dict.fromkeys(WAYS, 1.1) | {WAYS[-1]: 1.0}
    walk(learner, costs, 5, model=1)
    walk(learner, costs, 200, model=2)
    assert learner.settled
    assert learner.best == WAYS[-1]


@pytest.fixture
def _forced_back():
    yield
    pool.set_stream(None)
    pool.set_eager(False)


@pytest.mark.usefixtures("_forced_back")
@pytest.mark.parametrize(("cls", "hyper"), each_rule())
def test_bits_do_not_depend_on_the_way(cls, hyper):
    sizes = (5000, 1, 0, 2048, 6177)

    def stepped(build, dtype):
        params = [np.linspace(-1, 1, size).astype(dtype) for size in sizes]
        with kernels.using(build), lr.threads(2):
            opt = cls(params, ema=0.9, clip_value=0.5, **hyper)
            for row in zip(*[gradients((size,), dtype, 2, seed=size) for size in sizes], strict=True):
                opt.step(list(row))
        return params, opt.state_dict()["state"]

    for dtype in (np.float32, np.float64):
        expected = stepped("reference", dtype)
        for way in WAYS:
            pool.set_stream(way)
            for build in COMPILED:
                for eager in (False, True):
                    pool.set_eager(eager)
                    np.testing.assert_equal(stepped(build, dtype), expected)


def python(code, **env):
    kept = {key: value for key, value in os.environ.items() if key not in ("LRCORE_STREAM", "LRCORE_ISA")}
    return subprocess.run(
        [sys.executable, "-c", code], env=kept | env, capture_output=True, text=True, timeout=120, check=False
    )


def test_small_steps_learn_nothing_and_large_ones_say_what():
    code = (
        "import numpy as np, lrcore as lr\nfrom lrcore.pool import learned\n"
        "small, large = (lr.AdamW(np.ones(n, np.float32)) for n in (100_000, 500_000))\n"
        "for _ in range(9): small.step(np.ones(100_000, np.float32))\n"
        "print(learned())\n"
        "for _ in range(80): large.step(np.ones(500_000, np.float32))\n"
        "(entry,) = learned()\nprint(entry)\nlr.show_config()"
    )
    nothing, entry, *shown = python(code).stdout.splitlines()
    assert nothing == "[]"
    told = ast.literal_eval(entry)
    assert (told["bytes"], told["arrays"], told["steps"]) == (8 << 20, 4, 80)
    assert told["way"] in WAYS
    assert told["times"].keys() <= set(WAYS) - {told["way"]}
    assert any(line.startswith("stream:") and f"{told['way']} from 8 MiB" in line for line in shown)


@pytest.mark.parametrize("way", WAYS)
def test_the_environment_forces_a_way(way):
    done = python("import lrcore; print(lrcore.pool.config()['stream'])", LRCORE_STREAM=way)
    assert done.stdout.strip() == f"{way} (LRCORE_STREAM)", done.stderr


@pytest.mark.parametrize("way", ["fastest", "None", "x" * 5000])
def test_a_wrong_way_in_the_environment_says_so(way):
    last = python("import lrcore", LRCORE_STREAM=way).stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: LRCORE_STREAM must be one of {', '.join(WAYS)}, got {way[:100]!r}"[:-1])
    assert len(last) < 400


def test_the_configuration_says_what_is_used():
    assert config()["stream"]
    assert all(entry["way"] in WAYS for entry in learned())

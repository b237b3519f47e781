"""Random models, runs and interrupts against the reference, from seeds: equal bits, and nothing torn."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from conftest import BUILDS, every_optimizer

import lrcore as lr
from lrcore import kernels

CASES = [(p.values[0], p.values[1]) for p in every_optimizer()]
LENGTHS = (0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 127, 255, 1000, 2047, 2048, 2049, 4097, 9000)
MANY = [pytest.param(seed, marks=pytest.mark.slow) for seed in range(40, 800)]


pytestmark = pytest.mark.usefixtures("eager_pool")


@dataclass
class Run:
    """One random model with its optimizer's options and the gradients of each step, whatever build steps it."""

    seed: int

    def __post_init__(self) -> None:
        r = np.random.default_rng(self.seed)
        self.cls, hyper = CASES[r.integers(len(CASES))]
        self.options = dict(hyper)
        if r.random() < 0.5:
            self.options |= {"ema": float(r.choice([0.0, 0.9])), "ema_warmup": bool(r.random() < 0.5)}
        if r.random() < 0.4:
            self.options["clip_norm"] = float(10.0 ** r.uniform(-2, 3))
        if r.random() < 0.3:
            self.options["clip_value"] = float(10.0 ** r.uniform(-3, 1))
        if self.cls.maskable and not self.cls.corrects and r.random() < 0.3:
            self.options["cautious"] = True
        self.layout = r.choice(["array", "list", "tuple", "mapping", "buffer", "groups", "mixed groups"])
        count = 1 if self.layout == "array" else int(r.integers(1, 7))
        one = r.choice([np.float32, np.float64])
        mixed = self.layout not in ("array", "buffer", "mixed groups") and r.random() < 0.5
        self.values = []
        for _ in range(count):
            shape: tuple[int, ...] = (int(r.choice(LENGTHS)),)
            if r.random() < 0.3:
                shape = tuple(r.integers(1, 12, r.integers(0, 4)).tolist())
            self.values.append(r.standard_normal(shape).astype(r.choice([np.float32, np.float64]) if mixed else one))
        self.offsets = r.integers(0, 9, count).tolist()
        self.rates = r.uniform(0.001, 0.1, 2).tolist()
        self.arguments = [
            {"grad_scale": float(r.choice([1.0, 8.0, 0.3])), "zero_grad": bool(r.random() < 0.3)} for _ in range(6)
        ]
        self.gradients = [
            [
                np.where(r.random(v.shape) < 0.1, 0.0, r.standard_normal(v.shape) * 10.0 ** r.integers(-5, 3, v.shape))
                .astype(v.dtype)
                for v in self.values
            ]
            for _ in self.arguments
        ]  # fmt: skip
        self.threads = int(r.choice([1, 2, 3, 7]))
        self.saved_at = int(r.integers(0, len(self.arguments)))

    def moved(self, values: list[np.ndarray]) -> list[np.ndarray]:
        """Copies that begin some elements into their memory."""
        out = []
        for value, offset in zip(values, self.offsets, strict=True):
            memory = np.zeros(value.size + offset, value.dtype)
            memory[offset:] = value.reshape(-1)
            out.append(memory[offset:].reshape(value.shape))
        return out

    def structured(self, values: list[np.ndarray]) -> Any:
        arrays = self.moved(values)
        named = {f"w{k}": a for k, a in enumerate(arrays)}
        half = len(arrays) // 2
        match self.layout:
            case "array":
                return arrays[0]
            case "tuple":
                return tuple(arrays)
            case "mapping":
                return named
            case "buffer":
                return lr.ParameterBuffer(named)
            case "groups":
                return [{"params": [a], "lr": self.rates[k % 2]} for k, a in enumerate(arrays)]
            case "mixed groups":
                groups: list[dict[str, Any]] = [{"params": arrays[half:], "lr": self.rates[0]}]
                if half:
                    groups.append(
                        {
                            "params": lr.ParameterBuffer({f"b{k}": a for k, a in enumerate(arrays[:half])}),
                            "lr": self.rates[1],
                        }
                    )
                return groups
        return arrays

    def made(self) -> tuple[Any, lr.Optimizer]:
        params = self.structured(self.values)
        return params, self.cls(params, **self.options)

    def grads(self, step: int) -> Any:
        given = self.structured(self.gradients[step])
        if self.layout == "buffer":
            return given.flat if step % 2 else dict(given)
        if "groups" in self.layout:
            return [dict(g["params"]) if isinstance(g["params"], lr.ParameterBuffer) else g["params"] for g in given]
        return given

    def step(self, opt: lr.Optimizer, k: int) -> tuple[Any, Any]:
        grads = self.grads(k)
        report = opt.step(grads, **self.arguments[k])
        if self.arguments[k]["zero_grad"]:
            assert not any(g.any() for g in flattened(grads))
        return report.step, report.grad_norm


def flattened(structure: Any) -> list[np.ndarray]:
    if isinstance(structure, np.ndarray):
        return [structure]
    if hasattr(structure, "values"):
        return [a for value in structure.values() for a in flattened(value)]
    if isinstance(structure, (list, tuple)):
        return [a for value in structure for a in flattened(value)]
    return []


def snapshot(params: Any, opt: lr.Optimizer) -> Any:
    """Everything that a step may change, copied."""
    return [a.copy() for a in flattened(params)], opt.state_dict()


def outcome(run: Run, build: str) -> Any:
    """What a run of all steps makes, saved half-way and gone on in another optimizer."""
    with kernels.using(build):
        params, opt = run.made()
        seen = []
        for k in range(len(run.arguments)):
            seen.append(run.step(opt, k))
            if k == run.saved_at:
                saved = opt.state_dict()
                opt = run.cls(params, **run.options)
                opt.load_state_dict(saved)
        averages = None
        if "ema" in run.options:
            with opt.averaged():
                averages = [a.copy() for a in flattened(params)]
        return seen, snapshot(params, opt), averages


@pytest.mark.parametrize("seed", [*range(40), *MANY])
def test_any_run_has_the_bits_of_the_reference(seed: int) -> None:
    run = Run(seed)
    expected = outcome(run, "reference")
    for build in BUILDS:
        if build != "reference":
            lr.set_num_threads(run.threads)
            np.testing.assert_equal(outcome(run, build), expected)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an interval timer")
@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals go to the main thread")
@pytest.mark.parametrize("build", [BUILDS[-2], "reference"] if len(BUILDS) > 1 else BUILDS)
@pytest.mark.parametrize("seed", [*range(8), *[pytest.param(s, marks=pytest.mark.slow) for s in range(8, 100)]])
def test_an_interrupted_step_is_done_or_is_not(seed: int, build: str) -> None:
    """A timer strikes at random moments; what is left is the state before or after a step, whole."""
    run = Run(1000 + seed)
    r = np.random.default_rng(seed)
    lr.set_num_threads(run.threads)
    with kernels.using(build):
        params, opt = run.made()
        states = [snapshot(params, opt)]
        for k in range(len(run.arguments)):
            run.step(opt, k)
            states.append(snapshot(params, opt))

        armed = False

        def strike(*_: object) -> None:
            if armed:
                raise KeyboardInterrupt

        handler = signal.signal(signal.SIGALRM, strike)
        try:
            for _ in range(20):
                params, opt = run.made()
                all_grads = [run.grads(k) for k in range(len(run.arguments))]
                try:
                    armed = True
                    signal.setitimer(signal.ITIMER_REAL, float(r.uniform(2e-5, 2e-3)))
                    for grads, arguments in zip(all_grads, run.arguments, strict=True):
                        opt.step(grads, **arguments)
                    armed = False
                except KeyboardInterrupt:
                    pass
                armed = False
                signal.setitimer(signal.ITIMER_REAL, 0)  # or it would strike in the next round
                np.testing.assert_equal(snapshot(params, opt), states[opt.step_count])
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)

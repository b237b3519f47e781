"""Who takes part: one class for each way of taking an optimizer step.

A class owns parameters and gradients of a case and changes the parameters by :meth:`Implementation.step`, with the
options that the library's users would choose. Other libraries are imported where they are used. :func:`prove` holds
each of them to the NumPy reference before anything is timed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

import lrcore as lr
from lrcore import kernels
from lrcore.arrays import Array
from lrcore.bench.cases import ALONE, TAIL_EMA, TAIL_STEPS, Case


class Implementation:
    """One way of taking the step of a case, on data of its own.

    Attributes
    ----------
    params, grads : list of arrays
        The parameters as they are now, and the gradients. Writing to ``grads`` changes the next step where
        ``shared``.
    """

    package: ClassVar[str | None] = None
    """What must be installed."""

    exact: ClassVar[bool] = False
    """Whether it must have the bits of the reference."""

    learns: ClassVar[bool] = False
    """Whether its first steps find out how to walk memory, see :func:`lrcore.pool.learned`."""

    shared: ClassVar[bool] = True

    scratch: ClassVar[int] = 0
    """Arrays of all parameters' size that a step allocates besides parameters, gradients and state, at most."""

    hyper: Mapping[str, Any] = {}
    """Hyperparameters in which it differs from the case."""

    params: list[Array]
    grads: list[Array]
    step: Callable[[], object]
    prepare: Callable[[], object] | None = None
    """What comes before a step and is not timed."""

    def __init__(self, case: Case, threads: int) -> None:
        raise NotImplementedError

    @classmethod
    def lacks(cls, case: Case) -> str | None:
        """Why it cannot take part in this case although its package is installed, if so."""
        return None


def putting_back(arrays: list[Array]) -> Callable[[], None]:
    """A function that gives the arrays the values they have now."""
    kept = [array.copy() for array in arrays]

    def put_back() -> None:
        for array, values in zip(arrays, kept, strict=True):
            array[...] = values

    return put_back


def missing(name: str, case: Case) -> str | None:
    """What this implementation needs in this case and does not find here, as a reason to skip it."""
    for package in (kind(name).package, "torch" if case.work == "torch" else None):
        if package is not None and find_spec(package) is None:
            return f"{package} is not installed"
    return kind(name).lacks(case)


class _Lrcore(Implementation):
    """lrcore's optimizer."""

    exact = True
    build: ClassVar[str | None] = None
    buffer: ClassVar[bool] = False

    def __init__(self, case: Case, threads: int) -> None:
        lr.set_num_threads(threads)
        params: Any = case.parameters()
        self.grads = case.gradients()
        given: Any = self.grads[0] if len(params) == 1 else self.grads
        if self.buffer:
            params = lr.ParameterBuffer(params)
            for view, grad in zip(params.grads.values(), self.grads, strict=True):
                view[...] = grad
            self.params, self.grads, given = list(params.values()), list(params.grads.values()), None
        else:
            self.params = params
            params = params[0] if len(params) == 1 else params
        with kernels.using(self.build or kernels.selected):
            optimizer = case.make(params)
        self.step = partial(optimizer.step, given)
        if case.kind == "tail":
            self.step = partial(optimizer.step, given, zero_grad=True)
            self.prepare = putting_back(self.grads)


class Buffer(_Lrcore):
    """lrcore on a ParameterBuffer."""

    learns = True
    buffer = True


class Arrays(_Lrcore):
    """lrcore on the user's own arrays."""

    learns = True


class Reference(_Lrcore):
    """The same optimizer on the NumPy reference, with no compiled code."""

    build = "reference"
    scratch = 4


class Floor(Implementation):
    """The streams of the step with one addition an element, see ``src/floor.pyx``."""

    learns = True

    def __init__(self, case: Case, threads: int) -> None:
        if kernels.selected == "reference":
            raise RuntimeError("there are no compiled kernels here")
        lr.set_num_threads(threads)
        module = import_module(f"lrcore._floor_{kernels.selected}")
        floor = module.Floor(case.elements, case.dtype, case.n_states, case.n_reads)
        theta, g, *_ = floor.arrays
        self.params, self.grads = [theta], [g]
        self.step = floor.step


class Expression(Implementation):
    """AdamW as one writes it in NumPy."""

    scratch = 4

    def __init__(self, case: Case, threads: int) -> None:
        self.params, self.grads = case.parameters(), case.gradients()
        self._m = [np.zeros_like(p) for p in self.params]
        self._v = [np.zeros_like(p) for p in self.params]
        self._t = 0

    def step(self) -> None:
        lr, beta1, beta2, eps, decay = 1e-3, 0.9, 0.999, 1e-8, 0.01
        self._t += 1
        for p, g, m, v in zip(self.params, self.grads, self._m, self._v, strict=True):
            p *= 1 - lr * decay
            m[...] = beta1 * m + (1 - beta1) * g
            v[...] = beta2 * v + (1 - beta2) * g * g
            m_hat = m / (1 - beta1**self._t)
            v_hat = v / (1 - beta2**self._t)
            p -= lr * m_hat / (np.sqrt(v_hat) + eps)


class _Torch(Implementation):
    package = "torch"
    options: ClassVar[dict[str, bool]] = {}

    def __init__(self, case: Case, threads: int) -> None:
        torch: Any = import_module("torch")
        torch.set_num_threads(threads)
        tensors = []
        for p, g in zip(case.parameters(), case.gradients(), strict=True):
            tensor = torch.from_numpy(p).clone().requires_grad_()  # in torch's own, aligned memory
            tensor.grad = torch.from_numpy(g).clone()
            tensors.append(tensor)
        self.params = [tensor.detach().numpy() for tensor in tensors]
        self.grads = [tensor.grad.numpy() for tensor in tensors]
        made = getattr(torch.optim, case.optimizer)(tensors, **{**self._defaults(case), **case.hyper}, **self.options)
        self.step = made.step
        if case.kind == "tail":
            self._add_tail(torch, tensors, made)

    @classmethod
    def lacks(cls, case: Case) -> str | None:
        torch: Any = import_module("torch")
        name = case.optimizer
        optimizer = getattr(torch.optim, name, None)
        if optimizer is None:
            return f"torch has no {name}"
        if "torch" not in lr.base.registered()[name].defaults:
            return f"lrcore's {name} has no formula of torch's"
        for option in cls.options:
            reason = f"torch's {name} is not {option} on a CPU"
            if option not in inspect.signature(optimizer).parameters:
                return reason
            try:
                optimizer([torch.zeros(1, requires_grad=True)], **{option: True})
            except (RuntimeError, TypeError, ValueError) as error:
                return f"{reason}: {error}"
        return None

    @staticmethod
    def _defaults(case: Case) -> dict[str, Any]:
        """Those of lrcore's ``like="torch"``, should torch's change."""
        defaults = dict(lr.base.registered()[case.optimizer].defaults["torch"])
        if case.kind == "tail":
            defaults["lr"] = 1e-3
        return defaults

    def _add_tail(self, torch: Any, tensors: list[Any], made: Any) -> None:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(made, TAIL_STEPS)
        averages = [tensor.detach().clone() for tensor in tensors]
        plain = [tensor.detach() for tensor in tensors]
        clip = torch.nn.utils.clip_grad_norm_

        def step() -> None:
            clip(tensors, 1.0)
            made.step()
            torch._foreach_lerp_(averages, plain, 1 - TAIL_EMA)
            made.zero_grad(set_to_none=False)
            schedule.step()

        self.step = step
        self.prepare = putting_back(self.grads)


class TorchFused(_Torch):
    options: ClassVar[dict[str, bool]] = {"fused": True}


class TorchForeach(_Torch):
    options: ClassVar[dict[str, bool]] = {"foreach": True}
    scratch = 4


class TorchDefault(_Torch):
    scratch = 2


class Optax(Implementation):
    """optax's function of the optimizer's name, jitted, with donated parameters and state.

    JAX uses every processor that the process may.
    """

    package = "optax"
    shared = False
    scratch = 4

    def __init__(self, case: Case, threads: int) -> None:
        jax: Any = import_module("jax")
        optax: Any = import_module("optax")
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", case.dtype == "float64")
        self.hyper = {"lr": 1e-3, "like": "optax"}
        optimizer = self._function(case)(**self._arguments(case))

        def step(params: Any, state: Any, grads: Any) -> Any:
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        self._jitted = jax.jit(step, donate_argnums=(0, 1))
        self._wait = jax.block_until_ready
        self._params = [jax.numpy.array(p) for p in case.parameters()]
        self._grads = [jax.numpy.array(g) for g in case.gradients()]
        self._state = jax.tree.map(jax.numpy.copy, optimizer.init(self._params))  # what is donated must be apart

    @classmethod
    def lacks(cls, case: Case) -> str | None:
        defaults = lr.base.registered()[case.optimizer].defaults.get("optax")
        if defaults is None:
            return f"lrcore's {case.optimizer} has no formula of optax's"
        function = cls._function(case)
        if function is None:
            return f"optax has no {case.optimizer.lower()}"
        absent = sorted(
            {*case.hyper} - {*defaults} or {*cls._arguments(case)} - {*inspect.signature(function).parameters}
        )
        return f"optax's {case.optimizer.lower()} has no {', '.join(absent)}" if absent else None

    @staticmethod
    def _function(case: Case) -> Any:
        """That of the optimizer's name, underscores aside; None if there is none."""
        optax: Any = import_module("optax")
        name, homes = case.optimizer.lower(), (optax, optax.contrib)
        found = (getattr(home, key) for home in homes for key in dir(home) if key.replace("_", "") == name)
        return next(filter(callable, found), None)

    @staticmethod
    def _arguments(case: Case) -> dict[str, Any]:
        """The hyperparameters under optax's names."""
        given = {**lr.base.registered()[case.optimizer].defaults["optax"], "lr": 1e-3, **case.hyper}
        if "betas" in given:
            given |= {f"b{k}": beta for k, beta in enumerate(given.pop("betas"), start=1)}
        given = {name: value for name, value in given.items() if value is not False}
        names = {"lr": "learning_rate"} | ({"alpha": "decay"} if case.optimizer == "RMSprop" else {})
        return {names.get(name, name): value for name, value in given.items()}

    @property
    def params(self) -> list[Array]:  # type: ignore[override]
        return [np.array(p) for p in self._params]

    @property
    def grads(self) -> list[Array]:  # type: ignore[override]
        return [np.array(g) for g in self._grads]

    def step(self) -> None:
        self._params, self._state = self._wait(self._jitted(self._params, self._state, self._grads))


class Numba(Implementation):
    """A ``prange`` loop on the user's own arrays: what one writes instead of a library."""

    package = "numba"

    def __init__(self, case: Case, threads: int) -> None:
        numba: Any = import_module("numba")
        numba.set_num_threads(threads)

        def loop(p, g, m, v, beta1, one_minus_beta1, beta2, one_minus_beta2, keep, rate, root, eps):  # type: ignore[no-untyped-def]
            for i in numba.prange(p.size):
                m[i] = beta1 * m[i] + one_minus_beta1 * g[i]
                v[i] = beta2 * v[i] + one_minus_beta2 * g[i] * g[i]
                p[i] = keep * p[i] - rate * m[i] / (math.sqrt(v[i]) * root + eps)

        self._loop = numba.njit(parallel=True)(loop)
        self.params, self.grads = case.parameters(), case.gradients()
        self._flat = [
            (p.reshape(-1), g.reshape(-1), np.zeros(p.size, p.dtype), np.zeros(p.size, p.dtype))
            for p, g in zip(self.params, self.grads, strict=True)
        ]
        self._number = np.dtype(case.dtype).type
        self._t = 0

    def step(self) -> None:
        self._t += 1
        bias1, bias2 = 1 - 0.9**self._t, 1 - 0.999**self._t
        scalars = [0.9, 1 - 0.9, 0.999, 1 - 0.999, 1 - 1e-3 * 0.01, 1e-3 / bias1, 1 / math.sqrt(bias2), 1e-8]
        numbers = tuple(map(self._number, scalars))
        for p, g, m, v in self._flat:
            self._loop(p, g, m, v, *numbers)


class DeepSpeed(Implementation):
    """DeepSpeedCPUAdam, which compiles itself at its first use."""

    package = "deepspeed"

    def __init__(self, case: Case, threads: int) -> None:
        torch: Any = import_module("torch")
        adam: Any = import_module("deepspeed.ops.adam")
        torch.set_num_threads(threads)
        tensors = []
        for p, g in zip(case.parameters(), case.gradients(), strict=True):
            tensor = torch.from_numpy(p).clone().requires_grad_()
            tensor.grad = torch.from_numpy(g).clone()
            tensors.append(tensor)
        self.params = [tensor.detach().numpy() for tensor in tensors]
        self.grads = [tensor.grad.numpy() for tensor in tensors]
        self.step = adam.DeepSpeedCPUAdam(tensors, lr=1e-3, weight_decay=0.01, adamw_mode=True).step


class Thinc(Implementation):
    """thinc.optimizers.Adam without its clipping. It zeroes the gradient, which is put back, untimed."""

    package = "thinc"
    scratch = 4

    def __init__(self, case: Case, threads: int) -> None:
        thinc: Any = import_module("thinc.optimizers")
        self._adam = thinc.Adam(1e-3, L2=0.01, grad_clip=0.0)
        self.params, self.grads = case.parameters(), case.gradients()
        self.prepare = putting_back(self.grads)

    def step(self) -> None:
        for k, (p, g) in enumerate(zip(self.params, self.grads, strict=True)):
            self.params[k], _ = self._adam((k, "p"), p, g)


class ScikitLearn(Implementation):
    """The AdamOptimizer inside scikit-learn's MLPClassifier. It has no weight decay."""

    package = "sklearn"
    scratch = 6
    hyper: Mapping[str, Any] = {"weight_decay": 0.0}

    def __init__(self, case: Case, threads: int) -> None:
        module: Any = import_module("sklearn.neural_network._stochastic_optimizers")
        self.params, self.grads = case.parameters(), case.gradients()
        self._adam = module.AdamOptimizer(self.params)

    def step(self) -> None:
        self._adam.update_params(self.params, self.grads)


REGISTRY: dict[str, type[Implementation]] = {
    "lrcore buffer": Buffer,
    "lrcore arrays": Arrays,
    "floor": Floor,
    "NumPy reference": Reference,
    "NumPy expression": Expression,
    "torch fused": TorchFused,
    "torch foreach": TorchForeach,
    "torch default": TorchDefault,
    "optax": Optax,
    "numba": Numba,
    "DeepSpeed": DeepSpeed,
    "thinc": Thinc,
    "scikit-learn": ScikitLearn,
}


def kind(name: str) -> type[Implementation]:
    """The implementation of this name."""
    return REGISTRY[name.removesuffix(ALONE)]


def make(name: str, case: Case, threads: int) -> Implementation:
    """The implementation of this name, on new data."""
    return kind(name)(case, 1 if name.endswith(ALONE) else threads)


STEPS = 3  # that prove an implementation


def prove(name: str, implementation: Implementation, case: Case) -> None:
    """Take some steps and compare the parameters with those of the NumPy reference.

    An update is elementwise, so the reference steps some elements of each tensor: the first, the last, and others
    between; every element, where sums or the norm of the tail need all.

    Raises
    ------
    ArithmeticError
        The parameters differ: by a bit from lrcore's own builds, by more than rounding from others.
    """
    if isinstance(implementation, Floor):
        theta, g = implementation.params[0].copy(), implementation.grads[0]
        implementation.step()
        if not np.array_equal(implementation.params[0], theta + g):
            raise ArithmeticError(f"{name} must add the gradient to every parameter, but has not")
        return
    every = case.kind == "tail" or case.n_reads > 0
    picks: list[Callable[[Array], Array]] = [_pick(p.size, every) for p in implementation.params]
    params = [pick(p) for pick, p in zip(picks, implementation.params, strict=True)]
    grads = [pick(g) for pick, g in zip(picks, implementation.grads, strict=True)]
    with kernels.using("reference"):
        optimizer = case.make(params, **implementation.hyper)
    for _ in range(STEPS):
        if implementation.prepare:
            implementation.prepare()
        implementation.step()
        optimizer.step(grads)
    for k, (pick, expected) in enumerate(zip(picks, params, strict=True)):
        got = pick(implementation.params[k])
        if implementation.exact:
            wrong = got != expected
        else:
            wrong = ~(np.abs(got - expected) <= 1e-5 + 1e-5 * np.abs(expected))
        if wrong.any():
            at = int(np.argmax(wrong))
            raise ArithmeticError(
                f"{name} must agree with the NumPy reference after {STEPS} steps, got {got[at]!r} for "
                f"{expected[at]!r} in tensor {k}"
            )


def _pick(size: int, every: bool) -> Callable[[Array], Array]:
    """Copies of some elements of an array of this size, as a vector."""
    ends = np.arange(min(size, 512))
    between = np.linspace(0, size - 1, min(size, 512)).astype(np.intp)
    where: Any = slice(None) if every else np.unique(np.concatenate([ends, between, size - 1 - ends]))
    return lambda array: array.reshape(-1)[where].copy()

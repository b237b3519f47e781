"""Runs the cases of ``tests/conventions.py`` with a library itself and writes what it computed.

    python tests/oracles/make.py torch     # needs torch
    python tests/oracles/make.py keras     # needs keras and torch
    python tests/oracles/make.py optax     # needs optax

The files beside this script were made so. They hold the parameters after the steps ``conventions.KEPT``, the default
hyperparameters of each optimizer, and the library's version.
"""

from __future__ import annotations

import argparse
import functools
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from conventions import CASES, Arrays, Case, Step, rate, trajectory, translated  # noqa: E402


class Torch:
    """``torch.optim``. Its NAdam keeps the product of its momenta in torch's default dtype: float64 here."""

    def __init__(self) -> None:
        import torch

        torch.set_default_dtype(torch.float64)
        self.torch = torch
        self.version = torch.__version__.partition("+")[0]

    def factory(self, case: Case) -> Callable[..., Any]:
        return getattr(self.torch.optim, case.optimizer)

    def start(self, case: Case, params: Arrays) -> tuple[Step, Callable[[], Arrays]]:
        tensors = [self.torch.from_numpy(array) for array in params]
        opts = self.muon(case, tensors) if case.optimizer == "Muon" else [
            self.factory(case)(tensors, lr=rate(0), **translated("torch", case.optimizer, case.hyper))]  # fmt: skip

        def step(grads: Arrays, lr: float) -> None:
            for tensor, g in zip(tensors, grads, strict=True):
                tensor.grad = self.torch.from_numpy(g)
            for opt in opts:
                opt.param_groups[0]["lr"] = lr
                opt.step()

        return step, lambda: params

    def muon(self, case: Case, tensors: list[Any]) -> list[Any]:
        """Its Muon, which takes matrices alone, in float64 in place of bfloat16; its AdamW for the rest."""
        self.torch.Tensor.bfloat16 = lambda tensor: tensor.clone()
        matrices = [tensor for tensor in tensors if tensor.ndim == 2 and case.hyper.get("use_muon", True)]
        others = [tensor for tensor in tensors if not any(tensor is matrix for matrix in matrices)]
        adam = {name.removeprefix("adam_"): value for name, value in case.hyper.items() if name.startswith("adam_")}
        opts = [self.torch.optim.AdamW(others, lr=rate(0), **adam)]
        if matrices:
            opts.append(self.torch.optim.Muon(matrices, lr=rate(0), **translated("torch", "Muon", case.hyper)))
        return opts


class Keras:
    """``keras.optimizers``, on the backend that KERAS_BACKEND names, else torch."""

    def __init__(self) -> None:
        os.environ.setdefault("KERAS_BACKEND", "torch")
        import keras

        keras.config.set_floatx("float64")
        self.keras = keras
        self.version = keras.__version__
        if keras.backend.backend() == "torch":
            for module in (keras.src.optimizers.adafactor, keras.src.optimizers.muon):
                module.ops = self.in_double(module.ops)

    @staticmethod
    def in_double(ops: Any) -> Any:
        """Its operations on torch's arrays; these four compute in float32 whatever the dtype."""
        import torch

        def double(x: Any) -> Any:
            return torch.as_tensor(x, dtype=torch.float64)

        own = {name: getattr(ops, name) for name in dir(ops)}
        own["mean"] = lambda x, axis=None, keepdims=False: torch.mean(x, axis, keepdims)
        own["norm"] = lambda x, axis=None, keepdims=False: torch.linalg.norm(x, dim=axis, keepdim=keepdims)
        own["maximum"] = lambda x, y: torch.maximum(double(x), double(y))
        own["minimum"] = lambda x, y: torch.minimum(double(x), double(y))
        return SimpleNamespace(**own)

    def factory(self, case: Case) -> Callable[..., Any]:
        return getattr(self.keras.optimizers, {"NAdam": "Nadam", "LAMB": "Lamb"}.get(case.optimizer, case.optimizer))

    def start(self, case: Case, params: Arrays) -> tuple[Step, Callable[[], list[Any]]]:
        variables = [self.keras.Variable(array, dtype="float64") for array in params]
        others = {} if case.hyper.get("use_muon", True) else {"exclude_layers": [""]}
        hyper = translated("keras", case.optimizer, case.hyper)
        opt = self.factory(case)(learning_rate=rate(0), **hyper, **others)
        if case.optimizer == "ScheduleFreeAdamW" and self.keras.backend.backend() == "torch":
            # What it keeps as its old momentum is the memory that is then changed; as on JAX, a change is a new array.
            opt.assign_sub = lambda variable, value: setattr(variable, "_value", variable.value - value)

        def step(grads: Arrays, lr: float) -> None:
            opt.learning_rate = lr
            opt.apply([self.keras.ops.convert_to_tensor(g, dtype="float64") for g in grads], variables)

        return step, lambda: [self.keras.ops.convert_to_numpy(variable) for variable in variables]


class Optax:
    """``optax``, in float64."""

    def __init__(self) -> None:
        import jax
        import optax
        import optax.contrib

        jax.config.update("jax_enable_x64", True)
        self.jax = jax
        self.optax = optax
        self.version = optax.__version__
        # Adafactor's decay is float32 whatever the dtype.
        factored = optax._src.factorized.scale_by_factored_rms
        factored.__defaults__ = (*factored.__defaults__[:-1], lambda i, exponent: 1.0 - (i + 1.0) ** -exponent)

    def factory(self, case: Case) -> Callable[..., Any]:
        name = {"DAdaptAdam": "dadaptadamw"}.get(case.optimizer, case.optimizer.lower())
        if case.hyper.get("amsgrad"):
            name = "amsgrad"
        if name == "signsgd" and case.hyper.get("momentum"):
            name = "signum"
        homes = (self.optax, self.optax.contrib)
        return next(
            getattr(home, key) for home in homes for key in dir(home) if key.replace("_", "") == name and key[0] != "_"
        )

    def start(self, case: Case, params: Arrays) -> tuple[Step, Callable[[], list[Any]]]:
        hyper = {name: value for name, value in case.hyper.items() if name != "amsgrad"}
        hyper = translated("optax", case.optimizer, hyper)
        if case.optimizer == "Adafactor":
            hyper["dtype_momentum"] = "float64"
        if not case.hyper.get("use_muon", True):
            hyper["muon_weight_dimension_numbers"] = lambda params: [None for _ in params]

        @functools.cache
        def transformation(lr: float) -> Any:
            made = self.factory(case)(learning_rate=lr, **hyper)
            # Its loops would be traced at each step.
            return made._replace(update=self.jax.jit(made.update)) if case.optimizer == "Muon" else made

        state = transformation(rate(0)).init(list(params))  # which it may keep, and params changes
        # A root of a count has the width of the count, so that MADGRAD falls into float32: counts of 64 bits here.
        state = self.jax.tree.map(lambda leaf: leaf.astype("int64") if leaf.dtype == "int32" else leaf, state)

        def step(grads: Arrays, lr: float) -> None:
            nonlocal state
            updates, state = transformation(lr).update(grads, state, params)
            params[:] = self.optax.apply_updates(params, updates)

        return step, lambda: params


LIBRARIES = {"torch": Torch, "keras": Keras, "optax": Optax}


def defaults(factory: Callable[..., Any]) -> dict[str, Any]:
    """The numbers among a signature's defaults; None where there is none."""
    return {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.default is parameter.empty or isinstance(parameter.default, (int, float, tuple, type(None)))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("--out", type=Path, help="default: LIBRARY.npz beside this script")
    arguments = parser.parse_args()

    library = LIBRARIES[arguments.library]()
    cases = CASES[arguments.library]
    signatures = {str(case): defaults(library.factory(case)) for case in cases if case.variant == "defaults"}
    about = {"library": arguments.library, "version": library.version, "defaults": signatures}
    rows = {str(case): trajectory(library.start, case) for case in cases}
    out = arguments.out or HERE / f"{arguments.library}.npz"
    np.savez_compressed(out, about=json.dumps(about), **rows)
    print(f"{out}: {len(rows)} cases, {arguments.library} {library.version}, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

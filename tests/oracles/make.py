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
        opt = self.factory(case)(tensors, lr=rate(0), **case.hyper)

        def step(grads: Arrays, lr: float) -> None:
            opt.param_groups[0]["lr"] = lr
            for tensor, g in zip(tensors, grads, strict=True):
                tensor.grad = self.torch.from_numpy(g)
            opt.step()

        return step, lambda: params


class Keras:
    """``keras.optimizers``, on the backend that KERAS_BACKEND names, else torch."""

    def __init__(self) -> None:
        os.environ.setdefault("KERAS_BACKEND", "torch")
        import keras

        keras.config.set_floatx("float64")
        self.keras = keras
        self.version = keras.__version__

    def factory(self, case: Case) -> Callable[..., Any]:
        return getattr(self.keras.optimizers, {"NAdam": "Nadam"}.get(case.optimizer, case.optimizer))

    def start(self, case: Case, params: Arrays) -> tuple[Step, Callable[[], list[Any]]]:
        variables = [self.keras.Variable(array, dtype="float64") for array in params]
        opt = self.factory(case)(learning_rate=rate(0), **translated("keras", case.optimizer, case.hyper))

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

    def factory(self, case: Case) -> Callable[..., Any]:
        name = case.optimizer.lower()
        if case.hyper.get("amsgrad"):
            name = "amsgrad"
        if name == "signsgd":
            name = "signum" if case.hyper.get("momentum") else "sign_sgd"
        return getattr(self.optax, name, None) or getattr(self.optax.contrib, name)

    def start(self, case: Case, params: Arrays) -> tuple[Step, Callable[[], list[Any]]]:
        hyper = {name: value for name, value in case.hyper.items() if name != "amsgrad"}

        @functools.cache
        def transformation(lr: float) -> Any:
            return self.factory(case)(learning_rate=lr, **translated("optax", case.optimizer, hyper))

        state = transformation(rate(0)).init(params)

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

"""What only live torch can show: parameter groups, and the one place where lrcore chooses to differ.

Trajectories and defaults are compared in test_oracles.py.
"""

import conventions
import numpy as np
import pytest

import lrcore as lr

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def _double():
    """torch's NAdam keeps the product of its momenta in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


OWN = {  # what the second group has that differs from the rest
    "SGD": {"momentum": 0.9, "dampening": 0.1, "lr": 0.2},
    "Adagrad": {"lr_decay": 0.1, "lr": 0.2},
    "Adadelta": {"rho": 0.7, "lr": 0.2},
    "RMSprop": {"alpha": 0.8, "centered": True, "lr": 0.2},
    "Adam": {"betas": (0.8, 0.9), "amsgrad": True},
    "AdamW": {"betas": (0.8, 0.9), "lr": 0.2},
    "Adamax": {"betas": (0.8, 0.9), "eps": 1e-4},
    "NAdam": {"betas": (0.8, 0.9), "lr": 0.2},
}


def groups(params, optimizer):
    return [{"params": params[:1], "weight_decay": 0.2}, {"params": params[1:], **OWN[optimizer]}]


@pytest.mark.parametrize("optimizer", OWN)
def test_parameter_groups(optimizer):
    """Two groups with their own hyperparameters; the rate of the second changes half-way."""
    case = conventions.Case("torch", optimizer, "groups")

    def theirs(case, params):
        tensors = [torch.from_numpy(array) for array in params]
        opt = getattr(torch.optim, optimizer)(groups(tensors, optimizer), lr=0.05)

        def step(grads, rate):
            if rate != conventions.RATES[0]:
                opt.param_groups[1]["lr"] = rate
            for tensor, g in zip(tensors, grads, strict=True):
                tensor.grad = torch.from_numpy(g)
            opt.step()

        return step, lambda: params

    def ours(case, params):
        opt = getattr(lr, optimizer)(groups(params, optimizer), lr=0.05)

        def step(grads, rate):
            if rate != conventions.RATES[0]:
                opt.param_groups[1]["lr"] = rate
            opt.step([grads[:1], grads[1:]])

        return step, lambda: params

    conventions.assert_same(conventions.trajectory(ours, case), conventions.trajectory(theirs, case))


def test_centered_rmsprop_stays_finite_where_torch_does_not():
    """A constant gradient has no variance; rounding makes torch's negative, and its root NaN."""
    theirs = torch.zeros(3)
    ours = np.zeros(3)
    constant = np.array([0.1, 0.2, 0.3])
    torch_opt = torch.optim.RMSprop([theirs], alpha=0.5, centered=True)
    opt = lr.RMSprop(ours, alpha=0.5, centered=True)
    for _ in range(60):
        theirs.grad = torch.from_numpy(constant)
        torch_opt.step()
        opt.step(constant)
    assert theirs.isnan().any()
    assert np.isfinite(ours).all()

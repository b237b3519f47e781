"""Epochs: every row once, losses in the target's unit, where divergence is noticed, what is timed."""

from itertools import count

import numpy as np
import pytest

import lrcore as lr
from lrcore.train.models import Network, SquaredError
from lrcore.train.tables import Table, split
from lrcore.train.trainer import DivergedError, Trainer

ROWS, HELD = 40, 10


def trainer(rate, batch_size=16, network=Network):
    x = np.random.default_rng(0).normal(size=(ROWS + HELD, 3))
    table = Table("t", x, ("a", "b", "c"), 70 * x[:, 0] + 1000, "y")
    model = network((3, 1), SquaredError(), seed=1)
    return Trainer(model, lr.SGD(model.params, lr=rate), split(table, classify=False), batch_size, seed=2)


def test_an_epoch_takes_every_row_once_in_a_new_order():
    class Seen(Network):
        batches = ()

        def gradient(self, x, targets):
            self.batches = (*self.batches, np.c_[x, targets])
            return super().gradient(x, targets)

    run = trainer(0.01, network=Seen)
    assert run.steps_per_epoch == 3
    run.epoch()
    run.epoch()
    batches = run.network.batches
    assert [len(batch) for batch in batches] == [16, 16, 8, 16, 16, 8]
    first, second = np.concatenate(batches[:3]), np.concatenate(batches[3:])
    expected = sorted(np.c_[run.data.x, run.data.y].tolist())
    assert sorted(first.tolist()) == sorted(second.tolist()) == expected
    assert first.tolist() != second.tolist()


def test_losses_are_in_the_unit_of_the_target():
    run = trainer(rate=0)  # so that they are those of the initial weights
    record = run.epoch()
    data = run.data

    def errors(x, y):
        return (run.network.predict(x)[:, 0] - y) * data.target_std

    held = errors(data.x_held, data.y_held)
    assert record.train_loss == pytest.approx(np.mean(errors(data.x, data.y) ** 2), rel=1e-5)
    assert record.held_out_loss == pytest.approx(np.mean(held**2), rel=1e-5)
    variance = np.var(data.y_held * data.target_std)
    assert record.held_out_score == pytest.approx(1 - np.mean(held**2) / variance)
    assert (record.epoch, record.step, record.lr) == (1, 3, 0)
    assert run.history == [record]


def test_a_loss_that_is_not_finite_stops_at_its_batch():
    run = trainer(rate=0.01)
    run.epoch()
    run.network.params["w1"][0, 0] = np.nan
    with pytest.raises(DivergedError, match=r"the training loss is nan after step 3, with lr 0\.01"):
        run.epoch()
    assert run.optimizer.step_count == 3
    assert len(run.history) == 1


def test_held_out_loss_is_watched_too():
    run = trainer(rate=1e25, batch_size=ROWS)  # one step, from a finite loss
    with pytest.raises(DivergedError, match=r"the held-out loss is inf after step 1, with lr 1e\+25"):
        run.epoch()


def test_what_is_timed(monkeypatch):
    clock = count()  # read before the batch, before the optimizer's step, and after it
    monkeypatch.setattr("lrcore.train.trainer.perf_counter", lambda: next(clock))
    run = trainer(rate=0.01)
    run.epoch()
    assert (run.seconds, run.optimizer_seconds) == (6, 3)


def test_the_callback_comes_after_every_step():
    run = trainer(rate=0.01)
    steps = []
    run.epoch(lambda: steps.append(run.optimizer.step_count))
    assert steps == [1, 2, 3]


def test_a_loss_that_grows_without_bound_stops_before_it_overflows():
    run = trainer(rate=1.5, batch_size=ROWS)

    def train():
        for _ in range(200):
            run.epoch()

    with pytest.raises(DivergedError, match=r"the (training|held-out) loss is \d.* after step \d+, with lr 1\.5"):
        train()
    assert np.isfinite(run.network.params.flat).all()

"""Settings of the pool that change while other threads step: for the sanitizer that sees data races."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import lrcore as lr
from lrcore import kernels, pool


@pytest.mark.skipif(kernels.selected == "reference", reason="no threads of its own")
def test_the_number_of_threads_may_change_while_others_step():
    before = lr.get_num_threads()
    start = np.linspace(-1.0, 1.0, 400_000)
    g = np.cos(start)
    expected = start.copy()
    opt = lr.Adam(expected)
    for _ in range(60):
        opt.step(g)
    copies = [start.copy() for _ in range(2)]
    go = threading.Barrier(3)

    def work(w: np.ndarray) -> None:
        mine = lr.Adam(w)
        go.wait()
        for _ in range(60):
            mine.step(g)

    workers = [threading.Thread(target=work, args=(w,)) for w in copies]
    for worker in workers:
        worker.start()
    go.wait()
    try:
        n = 0
        while any(worker.is_alive() for worker in workers):
            n += 1
            lr.set_num_threads(1 + n % 4)
            pool.get_num_threads()
            workers[n % 2].join(0.001)
    finally:
        for worker in workers:
            worker.join()
        lr.set_num_threads(before)
    for w in copies:
        np.testing.assert_array_equal(w, expected)

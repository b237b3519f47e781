"""The bits of every optimizer, as they have been since 0.1: a digest of each, kept in ``bits.json``.

python tests/test_bits.py     adds the digests of what is new; those that are there stay, unless deleted by hand
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import BUILDS, every_optimizer

import lrcore as lr
from lrcore import kernels

FILE = Path(__file__).parent / "bits.json"
SIZES = (6151, 0, 1, 2048, 333)
STEPS = 7
THREADS = (1, 2, 3, 7)


def numbers(count: int, seed: int) -> np.ndarray:
    """Of very different sizes, the same with every version of NumPy: raw bits of a generator and whole powers of 2."""
    raw = np.random.PCG64(seed).random_raw(count)
    signed = (raw >> np.uint64(11)) * 2.0**-52 - 1.0
    values = np.ldexp(signed, -((raw & np.uint64(31)).astype(np.int32)))
    values[(raw & np.uint64(0x3E0)) == 0] = 0.0
    return values


def split(flat: np.ndarray, dtype: str) -> list[np.ndarray]:
    return [part.astype(dtype) for part in np.split(flat, np.cumsum(SIZES)[:-1])]


def digest(cls: type[lr.Optimizer], hyper: dict, dtype: str, build: str) -> str:
    """Of parameters, averages, state and norms after some steps, with every span around the rule."""
    count = sum(SIZES)
    params = split(numbers(count, 1), dtype)
    with kernels.using(build):
        opt = cls(params, ema=0.9, clip_norm=3.0, clip_value=0.4, **hyper)
    norms = []
    for step in range(STEPS):
        if step == 4:
            opt.lr = 0.0125
        norms.append(opt.step(split(numbers(count, 100 + step), dtype), grad_scale=2.0).grad_norm)
    state = opt.state_dict()["state"]
    made = hashlib.sha256()
    for array in (*params, *opt.averages, np.array(norms), *(state[k][key] for k in state for key in sorted(state[k]))):
        made.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return made.hexdigest()[:32]


CASES = {f"{case.id}-{dtype}": (*case.values, dtype) for case in every_optimizer() for dtype in ("float32", "float64")}


@pytest.mark.usefixtures("eager_pool")
@pytest.mark.parametrize("case", CASES)
def test_bits_are_those_of_the_last_release(case):
    cls, hyper, dtype = CASES[case]
    expected = json.loads(FILE.read_text())[case]
    for build in BUILDS:
        for threads in THREADS if build != "reference" else (1,):
            lr.set_num_threads(threads)
            assert digest(cls, hyper, dtype, build) == expected, f"{build}, {threads} threads"


def test_every_digest_is_of_a_case():
    assert json.loads(FILE.read_text()).keys() == CASES.keys()


if __name__ == "__main__":
    kept = json.loads(FILE.read_text()) if FILE.exists() else {}
    found = {case: kept.get(case) or digest(*CASES[case], "reference") for case in CASES}
    FILE.write_text(json.dumps(found, indent=0) + "\n")

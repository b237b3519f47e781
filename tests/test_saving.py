"""Files of a run: everything comes back, with the same bits, or an error says what does not fit and nothing changes."""

from __future__ import annotations

import builtins
import copy
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import lrcore as lr
from lrcore import base, saving, schedules
from lrcore.options import Options

pytest.importorskip("safetensors")
every_suffix = pytest.mark.parametrize("suffix", saving.SUFFIXES)
NAMES = ("w/1", "a.npy", "a", "ü %2F", "..", "")


def model(dtype="float64"):
    rng = np.random.default_rng(0)
    shapes = [(2, 3), (5,), (), (0,), (1,), (4,)]
    return {name: np.asarray(rng.standard_normal(shape), dtype) for name, shape in zip(NAMES, shapes, strict=True)}


def train(opt, params, steps=3, seed=1):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        opt.step({name: np.asarray(rng.standard_normal(p.shape), p.dtype) for name, p in params.items()})


def everything(params, opt, control=()):
    arrays = {name: p.copy() for name, p in params.items()}
    return copy.deepcopy((arrays, opt.state_dict() if opt else None, [c.state_dict() for c in control]))


@every_suffix
@pytest.mark.parametrize("name", base.registered())
def test_a_run_goes_on_with_the_same_bits(name, suffix, tmp_path):
    kind = base.registered()[name]
    made = [(params := model("float32"), kind(params, lr=0.01, ema=0.9)) for _ in range(2)]
    (params, opt), (other, resumed) = made
    train(opt, params)
    path = tmp_path / f"run{suffix}"
    lr.save(path, optimizer=opt, extra={"epoch": 3})
    assert lr.load(path, optimizer=resumed) == {"epoch": 3}
    for values, o in made:
        train(o, values, seed=2)
    np.testing.assert_equal(everything(params, opt), everything(other, resumed))


def test_a_npz_is_read_by_numpy_alone(tmp_path):
    params = {"w1": np.ones((2, 3)), "b/1": np.zeros(2)}
    opt = lr.Adam(params)
    lr.save(tmp_path / "run.npz", optimizer=opt)
    with np.load(tmp_path / "run.npz", allow_pickle=False) as file:
        assert set(file.files) == {
            "lrcore", "params/w1", "params/b%2F1", "state/w1/m", "state/w1/v", "state/b%2F1/m", "state/b%2F1/v",
        }  # fmt: skip
        np.testing.assert_equal(file["params/w1"], params["w1"])
        assert json.loads(str(file["lrcore"]))["lrcore"] == lr.__version__


@every_suffix
def test_groups_schedules_and_control_come_back(suffix, tmp_path):
    def make():
        a, b = [np.ones(3)], lr.ParameterBuffer({"w": np.ones((2, 2), np.float32)})
        plateau = lr.ReduceOnPlateau(0.1, patience=1)
        cosine = schedules.CosineDecay(0.1, 50)
        groups = [{"params": a, "lr": plateau}, {"params": b, "lr": cosine, "weight_decay": 0.1}]
        opt = lr.AdamW(groups, betas=(cosine, 0.95), clip_norm=1.0, on_nonfinite="skip")
        return opt, [a, b], [plateau, lr.EarlyStopping()]

    def step(opt, arrays, control, k):
        (a,), b = arrays
        opt.step([[np.full(3, k + 1.0)], {"w": np.full((2, 2), -k, np.float32)}])
        control[0].update(1.0)
        control[1].update(-k, [a, b["w"]])

    opt, arrays, control = make()
    for k in range(3):
        step(opt, arrays, control, k)
    path = tmp_path / f"run{suffix}"
    lr.save(path, optimizer=opt, control=control)
    other = make()
    lr.load(path, optimizer=other[0], control=other[2])
    for k in range(3, 6):
        step(opt, arrays, control, k)
        step(*other, k)
    np.testing.assert_equal([c.state_dict() for c in control], [c.state_dict() for c in other[2]])
    np.testing.assert_equal(opt.state_dict(), other[0].state_dict())
    np.testing.assert_equal([arrays[0], dict(arrays[1])], [other[1][0], dict(other[1][1])])


def test_every_option_is_saved():
    """An option that is added must be found under its name, or be named as none to save."""
    told = saving._options(lr.SGD(np.ones(2), lr=0.1, ema=0.5))
    assert told["ema"] == 0.5
    assert {*told, *saving._NOT_SETTINGS} == set(Options.__annotations__)
    json.dumps(told)


def saved(tmp_path, **options):
    params = model()
    opt = lr.NAdam(params, lr=schedules.CosineDecay(0.1, 50), **options)
    early = lr.EarlyStopping()
    train(opt, params)
    early.update(1.0, params)
    lr.save(tmp_path / "run.npz", optimizer=opt, control=[early])
    return tmp_path / "run.npz"


def resized(params):
    return {**params, "a": np.zeros(3)}


OTHERS = {
    "another schedule": (
        lambda p: {"optimizer": lr.NAdam(p, lr=schedules.CosineDecay(0.2, 50), ema=0.9)},
        r"lr of param_groups\[0\] must be what was saved, CosineDecay\(initial=0.1.*got CosineDecay\(initial=0.2",
    ),
    "a number for a schedule": (lambda p: {"optimizer": lr.NAdam(p, lr=0.1, ema=0.9)}, "lr of param_groups.*got None"),
    "no averages": (
        lambda p: {"optimizer": lr.NAdam(p, lr=schedules.CosineDecay(0.1, 50))},
        "ema must be what was saved, 0.9, got None; strict=False accepts it",
    ),
    "clipping": (
        lambda p: {"optimizer": lr.NAdam(p, lr=schedules.CosineDecay(0.1, 50), ema=0.9, clip_norm=2.0)},
        "clip_norm must be what was saved, None, got 2.0",
    ),
    "another optimizer": (
        lambda p: {"optimizer": lr.Adam(p, lr=schedules.CosineDecay(0.1, 50), ema=0.9)},
        "must be 'NAdam', got 'Adam'|state.*",
    ),
    "another dtype": (
        lambda p: {"optimizer": lr.NAdam({n: a.astype("f4") for n, a in p.items()}, lr=0.1, ema=0.9)},
        "float32, got float64",
    ),
    "another shape": (lambda p: {"optimizer": lr.NAdam(resized(p), lr=0.1, ema=0.9)}, "must have shape"),
    "another name": (lambda p: {"optimizer": lr.NAdam({"b": p["a"]}, lr=0.1, ema=0.9)}, "must hold|must be for"),
    "parameters alone": (lambda p: {"params": p}, "optimizer must be given, since the file has it"),
    "no control": (lambda p: {"control": ()}, "control must be given"),
    "other control": (lambda p: {"control": [lr.ReduceOnPlateau(0.1)]}, "control must be what was saved"),
    "no control at all": (lambda p: {"control": [3]}, r"control\[0\] must be a ReduceOnPlateau or an EarlyStopping"),
    "no optimizer": (lambda p: {"optimizer": 3}, "optimizer must be an Optimizer, got int"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_does_not_fit_is_named_and_nothing_changes(case, tmp_path):
    path = saved(tmp_path, ema=0.9)
    make, message = OTHERS[case]
    params, early = model(), lr.EarlyStopping()
    arguments = {
        "optimizer": lr.NAdam(params, lr=schedules.CosineDecay(0.1, 50), ema=0.9), "control": [early], **make(params)
    }  # fmt: skip
    if case == "parameters alone":
        del arguments["optimizer"]
    opt = arguments.get("optimizer")
    opt = opt if isinstance(opt, lr.Optimizer) else None
    before = everything(params, opt, [early])
    with pytest.raises((TypeError, ValueError), match=message):
        lr.load(path, **arguments)
    np.testing.assert_equal(everything(params, opt, [early]), before)


def test_without_strict_other_settings_are_accepted_and_the_rest_left_out(tmp_path):
    path = saved(tmp_path, ema=0.9)
    params = model()
    lr.load(path, optimizer=lr.NAdam(params, lr=schedules.CosineDecay(0.2, 9), ema=0.9, clip_norm=1.0), strict=False)
    again = model()
    lr.load(path, params=again, strict=False)
    np.testing.assert_equal(params, again)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(params, model())


@every_suffix
@pytest.mark.parametrize("seed", range(3))
def test_a_spoiled_file_is_refused_or_loaded_whole(suffix, seed, tmp_path):
    params = model()
    opt = lr.Adam(params)
    train(opt, params)
    path = tmp_path / f"run{suffix}"
    lr.save(path, optimizer=opt, extra=[1])
    whole = path.read_bytes()
    rng = random.Random(seed)
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        if rng.random() < 0.5:
            del data[rng.randrange(len(data)) :]
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        other = model()
        resumed = lr.Adam(other)
        before = everything(other, resumed)
        try:
            lr.load(path, optimizer=resumed)
        except (TypeError, ValueError):
            refused += 1
            np.testing.assert_equal(everything(other, resumed), before)
    assert refused > 20


@pytest.mark.parametrize("told", [[], {}, {"format": 2}, {"format": 1}, {"format": 1, "params": 3, "extra": 0}])
def test_a_file_of_something_else_is_refused(told, tmp_path):
    path = tmp_path / "run.npz"
    np.savez(path, lrcore=np.array(json.dumps(told)))
    with pytest.raises(ValueError, match=r"path must be a (whole )?file of"):
        lr.load(path, params=model())
    np.savez(path, w=np.ones(3))
    with pytest.raises(ValueError, match="path must be a whole file"):
        lr.load(path, params=model())
    np.savez(path, lrcore=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="path must be a whole file"):
        lr.load(path, params=model())


def test_bad_arguments_write_nothing(tmp_path):
    params = model()
    for arguments, error, message in (
        ({"path": tmp_path / "run.pkl"}, ValueError, r"path must end in .npz or .safetensors, got .*run.pkl"),
        ({"extra": {1, 2}}, TypeError, "extra must be what JSON can hold"),
        ({"optimizer": 3}, TypeError, "optimizer must be an Optimizer, got int"),
        ({"control": [params]}, TypeError, r"control\[0\] must be a ReduceOnPlateau or an EarlyStopping, got dict"),
        ({"params": {"a": [1.0]}}, TypeError, "must be a NumPy array"),
    ):
        with pytest.raises(error, match=message):
            lr.save(**{"path": tmp_path / "run.npz", **arguments})
        assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        lr.load(tmp_path / "missing.npz", params=params)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(OSError, match=r"folder\.npz"):
        lr.save(tmp_path / "folder.npz", params=params)


@every_suffix
def test_a_disk_that_is_full_leaves_the_old_file(suffix, tmp_path):
    resource = pytest.importorskip("resource")
    params = {"w": np.ones(100_000)}
    path = tmp_path / f"run{suffix}"
    lr.save(path, params=params)
    before = path.read_bytes()
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            lr.save(path, params={"w": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_an_optimizer_that_is_in_use_is_not_saved(tmp_path):
    opt = lr.SGD(np.ones(2), lr=0.1, ema=0.5)
    opt.step(np.ones(2))
    with opt.averaged():
        for call in (lr.save, lr.load):
            with pytest.raises(RuntimeError, match=f"{call.__name__} must not be called while"):
                lr.save(tmp_path / "a.npz", params=np.ones(2)) or call(tmp_path / "a.npz", optimizer=opt)
    lr.save(tmp_path / "a.npz", optimizer=opt)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("safetensors"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for call in (lr.save, lr.load):
        with pytest.raises(ImportError, match=r'safetensors needs safetensors: pip install "lrcore\[files\]"'):
            call(tmp_path / "a.safetensors", params=np.ones(2))


LOOP = """
import sys
import numpy as np
import lrcore as lr
from lrcore.schedules import CosineDecay

params = lr.ParameterBuffer({"w": np.ones((64, 32)), "b": np.ones(32)})
opt = lr.AdamW(params, lr=CosineDecay(0.1, 400), ema=0.9)
kept = lr.Checkpoint(sys.argv[1], optimizer=opt, every=7, keep=2, best="loss")
kept.resume()
while opt.step_count < 400:
    loss = float(params["w"].ravel() @ params["w"].ravel())
    kept(opt.step_count, loss=loss)
    params.grads.flat[...] = 2 * params.flat + np.sin(opt.step_count)
    opt.step()
np.save(sys.argv[1] + ".npy", np.concatenate([params.flat, *(a.ravel() for a in opt.averages.values())]))
"""


@pytest.mark.parametrize("kills", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_a_loop_that_is_killed_goes_on_with_the_same_bits(kills, tmp_path):
    def run(folder, after=None):
        process = subprocess.Popen([sys.executable, "-c", LOOP, str(folder)])
        if after is not None:
            seen = 0.0
            while not any(folder.glob("step-*")) and process.poll() is None and seen < 60:
                time.sleep(0.005)
                seen += 0.005
            time.sleep(after)
            process.send_signal(signal.SIGKILL)
        return process.wait()

    assert run(tmp_path / "once") == 0
    rng = random.Random(kills)
    for _ in range(kills):
        run(tmp_path / "killed", rng.uniform(0, 0.05))
        for path in (tmp_path / "killed").glob("*.npz"):
            saving._read(path)  # whole
    assert run(tmp_path / "killed") == 0
    np.testing.assert_equal(np.load(tmp_path / "killed.npy"), np.load(tmp_path / "once.npy"))
    # What killed ones have left behind is swept by the next that writes.
    assert sorted(os.listdir(tmp_path / "killed")) == sorted(os.listdir(tmp_path / "once"))


def test_the_last_files_are_kept_and_the_best(tmp_path):
    params = np.array([3.0])
    opt = lr.SGD(params, lr=0.1)
    kept = lr.Checkpoint(tmp_path, optimizer=opt, every=2, keep=2, best="score", mode="max")
    assert kept.latest() is None
    assert kept.best() is None
    assert kept.resume() is None
    for step, score in enumerate([1.0, 5.0, float("nan"), 4.0, 2.0, 3.0, 1.0]):
        params[0] = step
        kept(step, score=score)
    assert sorted(os.listdir(tmp_path)) == ["best.npz", "step-000000000004.npz", "step-000000000006.npz"]
    assert lr.load(kept.best(), optimizer=opt) == {"step": 1, "metrics": {"score": 5.0}}
    assert params[0] == 1
    again = lr.Checkpoint(tmp_path, optimizer=opt, every=2, keep=2, best="score", mode="max")
    assert again.resume() == 6
    assert params[0] == 6
    again(7, score=4.9)
    assert lr.load(kept.best(), optimizer=opt)["step"] == 1
    with pytest.raises(ValueError, match="metrics must have 'score', got 'loss'"):
        again(8, loss=1.0)
    with pytest.raises(ValueError, match="every must be >= 1, got 0"):
        lr.Checkpoint(tmp_path, every=0)


def test_it_is_a_callback_of_minimize(tmp_path):
    def fun(p):
        return float(p @ p), 2 * p

    params = np.array([3.0, 1.0])
    opt = lr.SGD(params, lr=0.1)
    kept = lr.Checkpoint(tmp_path, optimizer=opt, every=5, best="loss")
    assert lr.minimize(fun, params, opt, 12, callbacks=[kept]).ended == "completed"
    assert kept.latest().name == "step-000000000010.npz"
    assert lr.load(kept.best(), optimizer=opt)["step"] == 12
    kept.resume()
    assert opt.step_count == 10

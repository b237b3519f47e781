"""The command line, called in this process: what it prints, what it writes, how it fails."""

import csv
import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

import lrcore as lr
from lrcore import base
from lrcore.cli import main
from lrcore.train.models import CrossEntropy, Network
from lrcore.train.tables import bundled, read_csv, split
from lrcore.train.trainer import Trainer

OURS = sorted(name for name, cls in base.registered().items() if cls.__module__.startswith("lrcore."))


@pytest.fixture
def classes_csv(tmp_path):
    """Two clouds of points, by name."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(120, 2))
    points[60:, 0] += 5
    lines = [f"{x:.4f},{'hot' if k >= 60 else 'cold'},{y:.4f}" for k, (x, y) in enumerate(points)]
    path = tmp_path / "clouds.csv"
    path.write_text("\n".join(["a,kind,b", *lines, ""]))
    return str(path)


@pytest.fixture
def line_csv(tmp_path):
    """y = 2x + 3 and a little noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-10, 10, 100)
    y = 2 * x + 3 + rng.normal(0, 0.1, 100)
    path = tmp_path / "line.csv"
    path.write_text("\n".join(["x,y", *(f"{a},{b}" for a, b in zip(x, y, strict=True)), ""]))
    return str(path)


def run(capsys, *argv):
    """Exit status, stdout and stderr of one command."""
    status = main([str(word) for word in argv])
    return status, *capsys.readouterr()


def fails(capsys, *argv, status=2):
    """The one line that a failing command leaves on stderr."""
    got, _, err = run(capsys, *argv)
    assert err.startswith("lrcore: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert got == status
    return err


def held_out(out, name):
    """The number that follows a name in the line about held-out data."""
    line = next(line for line in out.splitlines() if line.startswith("held out"))
    return float(line.split(f"{name} ")[1].split(",")[0].rstrip("%"))


# What it is for.


@pytest.mark.parametrize("seed", range(5))
def test_the_default_reads_handwritten_digits(capsys, seed):
    pytest.importorskip("sklearn")
    status, out, err = run(capsys, "train", "--seed", seed)
    assert status == 0
    assert err == ""
    assert held_out(out, "accuracy") >= 97
    assert 0 < held_out(out, "loss") < 0.3
    assert "steps/s" in out
    assert "of the time in the optimizer" in out


def test_classes_in_a_csv_file(capsys, classes_csv):
    status, out, _ = run(capsys, "train", "--data", classes_csv, "--target", "kind")
    assert status == 0
    assert held_out(out, "accuracy") > 85
    assert "'kind' is one of 2 classes" in out


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_numbers_in_a_csv_file(capsys, line_csv, model):
    status, out, _ = run(capsys, "train", "--data", line_csv, "--target", "y", "--model", model)
    assert status == 0
    assert held_out(out, "R²") > 0.99
    assert held_out(out, "mean squared error") < 1.3


def test_the_linear_model_finds_the_line(capsys, line_csv, tmp_path):
    run(capsys, "train", "--data", line_csv, "--target", "y", "--model", "linear", "--out", tmp_path / "run")
    got = np.load(tmp_path / "run" / "parameters.npz")
    slope = got["w1"][0, 0] * got["target_std"] / got["feature_std"][0]
    intercept = got["b1"][0] * got["target_std"] + got["target_mean"] - slope * got["feature_mean"][0]
    assert_allclose([slope, intercept], [2, 3], atol=0.1)


@pytest.mark.parametrize("dataset", ["breast_cancer", "wine", "diabetes"])
def test_bundled_data_sets(capsys, dataset):
    pytest.importorskip("sklearn")
    model = "linear" if dataset == "diabetes" else "softmax"
    status, out, _ = run(capsys, "train", "--dataset", dataset, "--model", model)
    assert status == 0
    assert held_out(out, "R²") > 0.3 if dataset == "diabetes" else held_out(out, "accuracy") > 90


@pytest.mark.parametrize("name", OURS)
def test_every_optimizer_learns_at_its_default_rate(capsys, classes_csv, name):
    argv = ["train", "--data", classes_csv, "--target", "kind", "--optimizer", name.upper()]
    if next(iter(base.registered()[name].defaults.values()))["lr"] is None:
        argv += ["--lr", "1e-3"]  # the library has none
    status, out, _ = run(capsys, *argv)
    assert status == 0
    assert f"optimizer  {name} like {next(iter(base.registered()[name].defaults))}" in out
    assert held_out(out, "accuracy") > 85


def test_options_reach_the_optimizer_and_the_model(capsys, classes_csv):
    status, out, _ = run(
        capsys, "train", "--data", classes_csv, "--target", "kind", "--hidden", "5,3",
        "--optimizer", "sgd", "--lr", "0.25", "--momentum", "0.5", "--weight-decay", "0.125",
        "--like", "keras", "--batch-size", "7", "--epochs", "3", "--seed", "11",
    )  # fmt: skip
    assert status == 0
    assert "mlp 2-5-3-2, 41 parameters" in out
    assert "SGD like keras, lr 0.25, momentum 0.5, weight_decay 0.125" in out
    assert "3 epochs, batches of 7, seed 11" in out
    assert "42 steps in" in out  # 96 rows are 14 batches


def test_like_brings_its_defaults(capsys, classes_csv):
    def lines(*argv):
        return run(capsys, "train", "--data", classes_csv, "--target", "kind", "--epochs", 1, *argv)[1]

    assert "SGD like torch, lr 0.05\n" in lines("--optimizer", "sgd")
    assert "SGD like torch, lr 0.001\n" in lines("--optimizer", "sgd", "--like", "torch")
    assert "SGD like keras, lr 0.01\n" in lines("--optimizer", "sgd", "--like", "keras")
    assert "AdamW like optax, lr 0.01, weight_decay 0.0001\n" in lines("--like", "optax", "--lr", "0.01")


def test_a_batch_may_be_larger_than_the_data(capsys, classes_csv):
    status, out, _ = run(
        capsys, "train", "--data", classes_csv, "--target", "kind", "--batch-size", 1000, "--epochs", 2
    )
    assert status == 0
    assert "batches of 96" in out
    assert "2 steps in" in out


# Control by the held-out loss.


def table_of(path):
    with open(path, newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_reduce_on_plateau_halves_ten_times_and_stops(capsys, classes_csv, tmp_path):
    # At rate 0 nothing ever improves, so every second epoch after the first reduces.
    argv = ["train", "--data", classes_csv, "--target", "kind", "--hidden", 4, "--epochs", 100, "--out", tmp_path]
    status, out, _ = run(capsys, *argv, "--optimizer", "sgd", "--lr", 0, "--reduce-on-plateau", 2)
    assert status == 0
    assert "stopped    after epoch 21: the rate is down to 0\n" in out
    assert len(table_of(tmp_path / "history.csv")) == 21

    status, out, _ = run(capsys, *argv, "--optimizer", "sgd", "--lr", 0.5, "--reduce-on-plateau", 1)
    history = table_of(tmp_path / "history.csv")
    plateau = lr.ReduceOnPlateau(0.5, patience=1)
    for row in history:
        assert row["lr"] == plateau(0)
        said = plateau.update(row["held_out_loss"])
    assert plateau(0) < 0.5
    assert (said == "stop") == ("stopped" in out)
    assert f"loss {history[-1]['held_out_loss']:.4g}" in out


def test_early_stop_keeps_the_best_epoch(capsys, classes_csv, tmp_path):
    argv = ["train", "--data", classes_csv, "--target", "kind", "--hidden", 4, "--lr", 0.3]
    status, out, _ = run(capsys, *argv, "--epochs", 60, "--early-stop", 3, "--out", tmp_path / "a")
    assert status == 0
    history = table_of(tmp_path / "a" / "history.csv")
    losses = [row["held_out_loss"] for row in history]
    best = 1 + losses.index(min(losses))
    assert len(history) == best + 3 < 60
    assert f"stopped    after epoch {best + 3}: no improvement in 3 epochs\n" in out
    assert f"best       epoch {best}, whose parameters are kept\n" in out
    assert f"held out   loss {min(losses):.4g}, " in out
    # They are those of a run that ends there.
    run(capsys, *argv, "--epochs", best, "--out", tmp_path / "b")
    kept, ended = (np.load(tmp_path / name / "parameters.npz") for name in "ab")
    for name in ("w1", "b1", "w2", "b2"):
        np.testing.assert_array_equal(kept[name], ended[name])


def test_control_without_a_number_waits_ten_epochs(capsys, classes_csv):
    argv = ["train", "--data", classes_csv, "--target", "kind", "--hidden", 4, "--optimizer", "sgd", "--lr", 0]
    out = run(capsys, *argv, "--epochs", 50, "--early-stop")[1]
    assert "stopped    after epoch 11: no improvement in 10 epochs\n" in out
    out = run(capsys, *argv, "--epochs", 200, "--reduce-on-plateau")[1]
    assert "stopped    after epoch 101: the rate is down to 0\n" in out


def test_find_lr_suggests_what_the_library_does(capsys, classes_csv):
    argv = ["--data", classes_csv, "--target", "kind", "--hidden", 4, "--optimizer", "adam", "--seed", 3]
    status, out, err = run(capsys, "find-lr", *argv, "--low", "1e-5", "--high", 2, "--steps", 30)
    assert (status, err) == (0, "")
    table = read_csv(classes_csv, "kind")
    split_rng, weights_rng, order_rng = np.random.default_rng(3).spawn(3)
    parts = split(table, True, split_rng)
    network = Network((2, 4, 2), CrossEntropy(), weights_rng)
    trainer = Trainer(network, lr.Adam(network.params), parts, 16, order_rng)
    before = network.params.flat.tobytes()
    found = trainer.find_lr(1e-5, 2, 30)
    assert network.params.flat.tobytes() == before
    assert f"steepest   {found.steepest:.2g}, " in out
    assert f"valley     {found.valley:.2g}, " in out
    assert f"minimum    {found.minimum:.2g}, where it is lowest; a tenth of it: {found.minimum_tenth:.2g}\n" in out
    rows = [line.split() for line in out.splitlines() if line.startswith(" ")]
    assert rows[0] == ["lr", "loss", "smoothed"]
    assert rows[1][:2] == ["1e-05", f"{found.loss[0]:.4g}"]
    assert ("the loss diverges above" in out) == found.diverged
    assert "optimizer  Adam like torch\n" in out


def test_find_lr_where_nothing_falls(capsys, line_csv):
    argv = ["find-lr", "--data", line_csv, "--target", "y", "--model", "linear", "--optimizer", "sgd", "--steps", 3]
    status, out, _ = run(capsys, *argv, "--low", 20, "--high", 100)
    assert status == 0
    assert "suggested  none: no rate lowered the loss\n" in out


def test_find_lr_needs_no_rate_of_the_library(capsys, classes_csv):
    status, out, _ = run(capsys, "find-lr", "--data", classes_csv, "--target", "kind", "--like", "optax")
    assert status == 0
    assert "optimizer  AdamW like optax, weight_decay 0.0001\n" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train", "--early-stop", "0"], "--early-stop must be a whole number >= 1, got '0'"),
        (["train", "--reduce-on-plateau", "x"], "--reduce-on-plateau must be a whole number >= 1, got 'x'"),
        (["find-lr", "--steps", "1"], "--steps must be a whole number >= 2, got '1'"),
        (["find-lr", "--low", "1", "--high", "0.1"], "low must be < high, got 1.0 and 0.1"),
        (["find-lr", "--low", "0"], "low must be finite and > 0, got 0.0"),
        (["find-lr", "--high", "big"], "--high must be a number, got 'big'"),
        (["find-lr", "--lr", "1"], "unrecognized arguments: --lr 1"),
    ],
)
def test_bad_arguments_of_control(capsys, classes_csv, argv, message):
    assert message in fails(capsys, *argv, "--data", classes_csv, "--target", "kind")


# What it writes.


def test_history_and_parameters(capsys, classes_csv, tmp_path):
    out_dir = tmp_path / "new" / "run"
    status, out, _ = run(capsys, "train", "--data", classes_csv, "--target", "kind", "--epochs", 4, "--out", out_dir)
    assert status == 0
    assert sorted(os.listdir(out_dir)) == ["history.csv", "parameters.npz"]
    assert f"written    {out_dir / 'history.csv'}, {out_dir / 'parameters.npz'}" in out
    with open(out_dir / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "step", "lr", "train_loss", "held_out_loss", "held_out_accuracy"]
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [row["step"] for row in rows] == ["6", "12", "18", "24"]
    assert {row["lr"] for row in rows} == {"0.001"}
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert f"{float(rows[-1]['held_out_loss']):.4g}" in out
    assert 100 * float(rows[-1]["held_out_accuracy"]) == pytest.approx(held_out(out, "accuracy"), abs=0.01)


def test_the_parameters_predict(capsys, tmp_path):
    pytest.importorskip("sklearn")
    status, out, _ = run(capsys, "train", "--out", tmp_path)
    assert status == 0
    got = np.load(tmp_path / "parameters.npz", allow_pickle=False)
    digits = bundled("digits")
    x = (digits.features - got["feature_mean"]) / got["feature_std"]
    z = np.maximum(x @ got["w1"] + got["b1"], 0) @ got["w2"] + got["b2"]
    guess = got["classes"][z.argmax(axis=1)]
    held = split(digits, classify=True, seed=np.random.default_rng(0).spawn(3)[0]).x_held
    held_rows = {row.tobytes() for row in held}
    is_held = [row.tobytes() in held_rows for row in x.astype(np.float32)]
    assert sum(is_held) == len(held) == 359
    accuracy = np.mean((guess == digits.target)[is_held])
    assert 100 * accuracy == pytest.approx(held_out(out, "accuracy"), abs=0.3)  # in float64 a row may flip
    assert got["feature_names"].tolist() == list(digits.feature_names)


def test_equal_arguments_give_equal_bits(capsys, classes_csv, tmp_path):
    def bits(name, seed):
        argv = ["train", "--data", classes_csv, "--target", "kind", "--epochs", 5, "--out", tmp_path / name]
        assert run(capsys, *argv, "--seed", seed)[0] == 0
        return [(tmp_path / name / file).read_bytes() for file in ("history.csv", "parameters.npz")]

    assert bits("one", 3) == bits("same", 3)
    for one, other in zip(bits("one", 3), bits("other", 4), strict=True):
        assert one != other


def test_a_second_run_replaces_the_files_of_the_first(capsys, line_csv, tmp_path):
    argv = ["train", "--data", line_csv, "--target", "y", "--out", tmp_path]
    run(capsys, *argv, "--model", "mlp", "--epochs", 3)
    run(capsys, *argv, "--model", "linear", "--epochs", 2)
    assert "w2" not in np.load(tmp_path / "parameters.npz")
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 3


# What it refuses.


BAD_ARGUMENTS = {
    "lr text": (["--lr", "fast"], "--lr must be a number, got 'fast'"),
    "lr negative": (["--lr", "-0.1"], "lr must be finite and >= 0, got -0.1"),
    "lr nan": (["--lr", "nan"], "lr must be finite and >= 0, got nan"),
    "lr missing": (["--lr"], "--lr expected one argument"),
    "weight decay": (["--weight-decay", "-1"], "weight_decay must be finite and >= 0, got -1.0"),
    "batch size": (["--batch-size", "0"], "--batch-size must be a whole number >= 1, got '0'"),
    "epochs": (["--epochs", "1.5"], "--epochs must be a whole number >= 1, got '1.5'"),
    "seed": (["--seed", "-1"], "--seed must be a whole number >= 0, got '-1'"),
    "hidden zero": (["--hidden", "0"], "--hidden must be whole numbers from 1 to 16384"),
    "hidden text": (["--hidden", "8,"], "--hidden must be whole numbers from 1 to 16384"),
    "model": (["--model", "tree"], "--model must be one of mlp, softmax, linear, got 'tree'"),
    "optimizer": (["--optimizer", "foo"], "--optimizer must be one of sgd, "),
    "dataset": (["--dataset", "mnist"], "--dataset must be one of digits, breast_cancer, wine, diabetes,"),
    "unknown option": (["--speed", "9"], "unrecognized arguments: --speed 9"),
    "abbreviation": (["--opt", "sgd"], "unrecognized arguments: --opt sgd"),
    "like": (["--like", "jax"], "like must be one of 'torch', 'keras', 'optax' for AdamW, got 'jax'"),
    "like empty": (["--like", ""], "like must be one of 'torch', 'keras', 'optax' for AdamW, got ''"),
    "not in keras 2": (["--like", "keras2"], "for AdamW, got 'keras2'"),
    "optax without lr": (["--like", "optax"], "lr must be given: optax has no default for it in AdamW"),
    "momentum": (["--momentum", "0.9"], "momentum must not be given with like='torch': AdamW has lr, betas"),
    "decay": (
        ["--optimizer", "sgd", "--like", "keras2", "--weight-decay", "1"],
        "weight_decay must not be given with like='keras2': SGD has lr, momentum, nesterov, decay there",
    ),
    "hidden of softmax": (["--model", "softmax", "--hidden", "8"], "--hidden must go with --model mlp"),
    "linear on text": (["--model", "linear"], "target 'kind' must be numeric for regression, got 'cold'"),
    "two sources": (["--dataset", "wine"], "not allowed with argument --data"),
    "no column": (["--target", "colour"], "has no column 'colour'; its columns are 'a', 'kind', 'b'"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments_end_in_one_line(capsys, classes_csv, tmp_path, case):
    argv, message = BAD_ARGUMENTS[case]
    out = tmp_path / "never"
    err = fails(capsys, "train", "--data", classes_csv, "--target", "kind", "--out", out, *argv)
    assert message in err
    assert not out.exists()


def test_a_bad_field_is_named_by_row_and_column(capsys, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a,b,y\n" + "1,2,3\n" * 6 + "1,oops,3\n")
    err = fails(capsys, "train", "--data", path, "--target", "y")
    assert f"{str(path)!r}, row 7 (line 8), column 'b' must be a number, got 'oops'" in err


def test_missing_files_and_directories(capsys, tmp_path):
    assert "No such file" in fails(capsys, "train", "--data", tmp_path / "a.csv", "--target", "y")
    assert "cannot be read" in fails(capsys, "train", "--data", tmp_path, "--target", "y")


def test_data_and_target_go_together(capsys, classes_csv):
    assert "--target must be given with --data" in fails(capsys, "train", "--data", classes_csv)
    assert "--target must go with --data" in fails(capsys, "train", "--target", "kind")


def test_softmax_on_measurements(capsys, line_csv):
    err = fails(capsys, "train", "--data", line_csv, "--target", "y", "--model", "softmax")
    assert "target 'y' must be text or whole numbers to be a class" in err


def test_a_message_stays_one_line(capsys, classes_csv):
    assert r"'k\nind'" in fails(capsys, "train", "--data", classes_csv, "--target", "k\nind")
    assert "unrecognized arguments: a b" in fails(capsys, "train", "a\nb")


@pytest.mark.parametrize("below", ["", "deeper"])
def test_out_must_be_a_directory(capsys, classes_csv, tmp_path, below):
    file = tmp_path / "file"
    file.write_text("mine")
    err = fails(capsys, "train", "--data", classes_csv, "--target", "kind", "--out", file / below)
    assert f"--out must be a directory, but '{file}' is none" in err
    assert file.read_text() == "mine"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a directory where not even root can write")
def test_out_must_be_writable(capsys, classes_csv):
    argv = ["train", "--data", classes_csv, "--target", "kind"]
    err = fails(capsys, *argv, "--out", "/proc/lrcore-out")
    assert "--out must be writable, but '/proc' is not" in err


def test_a_write_that_fails_leaves_nothing_half_written(capsys, classes_csv, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lrcore.train.output.np.savez", full)
    argv = ["train", "--data", classes_csv, "--target", "kind", "--epochs", 1]
    err = fails(capsys, *argv, "--out", tmp_path / "run")
    assert "cannot be written: No space left on device" in err
    assert os.listdir(tmp_path / "run") == []


def test_divergence_names_step_and_rate(capsys, line_csv, tmp_path):
    argv = ["train", "--data", line_csv, "--target", "y", "--model", "linear", "--optimizer", "sgd"]
    err = fails(capsys, *argv, "--lr", "1e6", "--out", tmp_path / "run", status=1)
    assert err.startswith("lrcore: diverged: the ")
    assert "with lr 1e+06" in err
    assert 1 <= int(err.split("after step ")[1].split(",")[0]) <= 10
    assert not (tmp_path / "run").exists()


def test_ctrl_c_leaves_one_line_and_no_file(capsys, classes_csv, tmp_path, monkeypatch):
    whole_epoch = Trainer.epoch

    def epoch(self, *args):
        if len(self.history) == 2:
            raise KeyboardInterrupt
        return whole_epoch(self, *args)

    monkeypatch.setattr(Trainer, "epoch", epoch)
    argv = ["train", "--data", classes_csv, "--target", "kind", "--out", tmp_path / "run"]
    assert fails(capsys, *argv, status=130) == "lrcore: interrupted\n"
    assert not (tmp_path / "run").exists()


# Where it runs.


def test_csv_files_need_neither_scikit_learn_nor_tqdm(capsys, classes_csv, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    argv = ["--data", classes_csv, "--target", "kind", "--epochs", 1]
    assert run(capsys, "train", *argv)[0] == 0
    assert 'pip install "lrcore[train]"' in fails(capsys, "train")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_progress_bar_on_a_terminal_alone(capsys, classes_csv, monkeypatch):
    pytest.importorskip("tqdm")
    argv = ["train", "--data", classes_csv, "--target", "kind", "--epochs", "2"]
    assert run(capsys, *argv)[2] == ""
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert main(argv) == 0
    assert "0/12 steps" in sys.stderr.getvalue()
    assert sys.stderr.getvalue().endswith("\r")  # wiped


def test_output_that_the_terminal_cannot_encode(classes_csv, line_csv, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert main(["train", "--data", line_csv, "--target", "y", "--epochs", "1"]) == 0
    sys.stdout.seek(0)
    assert r"R\xb2 " in sys.stdout.read()


@pytest.mark.parametrize("command", ["info", "train --data {} --target kind"])
def test_nobody_reads_the_output(classes_csv, command):
    reader, writer = os.pipe()
    os.close(reader)
    argv = [sys.executable, "-m", "lrcore", *command.format(classes_csv).split()]
    done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=20)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_info_prints_the_configuration(capsys):
    lr.show_config()
    expected = capsys.readouterr().out
    assert run(capsys, "info") == (0, expected, "")
    assert lr.__version__ in expected


def test_help_and_version(capsys):
    for argv, expected in (
        (["--version"], f"lrcore {lr.__version__}\n"),
        (["--help"], "train"),
        (["train", "--help"], "--weight-decay"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(argv)
        assert caught.value.code == 0
        assert expected in capsys.readouterr().out


def test_help_names_every_optimizer(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    words = capsys.readouterr().out.replace(",", " ").split()
    assert {name.lower() for name in OURS} <= set(words)


def test_no_command_prints_help(capsys):
    status, out, err = run(capsys)
    assert status == 2
    assert out == ""
    assert "usage: lrcore" in err
    assert "train" in err


def test_an_unknown_command(capsys):
    assert "'trian'" in fails(capsys, "trian")


def test_as_a_module_interrupted_by_a_signal(classes_csv, tmp_path):
    argv = ["train", "--data", classes_csv, "--target", "kind", "--epochs", "1000000"]
    argv += ["--out", str(tmp_path / "run")]
    with subprocess.Popen(
        [sys.executable, "-m", "lrcore", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("run "):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "lrcore: interrupted\n"
    assert not (tmp_path / "run").exists()


def test_a_schedule_sets_the_rate_of_every_step(capsys, tmp_path):
    argv = ("train", "--dataset", "wine", "--epochs", 3, "--batch-size", 50, "--out", tmp_path)
    status, out, _ = run(capsys, *argv, "--schedule", "linear(0.1, 0.01, 9)")
    assert status == 0
    assert "lr Linear(initial=0.1, final=0.01, steps=9)" in out
    with open(tmp_path / "history.csv", encoding="utf-8") as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert len(rates) == 3
    assert 0.1 > rates[0] > rates[1] > rates[2] >= 0.01


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cosine(2e-3, 4000", "--schedule cannot be read: schedule, position 17: expected ',', got the end"),
        ("cosine(0.1, 0)", "steps must be >= 1, got 0"),
        ("__import__('os')", "--schedule cannot be read: schedule, position 0"),
        ("linear(0.1, -0.1, 10)", "--schedule must be finite and >= 0 at every step, got -0.02 at step 6"),
    ],
)
def test_a_wrong_schedule_is_refused_in_one_line(capsys, text, message):
    status, _, err = run(capsys, "train", "--dataset", "wine", "--schedule", text)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1


# Text and numbers without bounds.


HUGE = "9" * 5000
NO_NUMBERS = [HUGE + "x", "1e3", "1_000", "inf", "nan", "\u0663", " 5", "", "-1", "+5", "0x10"]
WHOLE = ["--batch-size", "--seed", "--epochs", "--hidden", "--early-stop", "--reduce-on-plateau"]


def short(capsys, *argv):
    err = fails(capsys, *argv)
    assert len(err) < 600
    return err


@pytest.mark.parametrize("option", WHOLE)
def test_what_is_no_whole_number(capsys, classes_csv, option):
    for text in [*NO_NUMBERS, HUGE]:
        err = short(capsys, "train", "--data", classes_csv, "--target", "kind", f"{option}={text}")
        assert f"{option} must be " in err
        assert "got " in err


@pytest.mark.parametrize(
    ("option", "least", "most"),
    [("--early-stop", 1, 2**53 - 1), ("--seed", 0, 10**40 - 1), ("--epochs", 1, 10**40 - 1)],
)
def test_bounds_of_whole_numbers(capsys, classes_csv, option, least, most):
    argv = ["train", "--data", classes_csv, "--target", "kind", "--hidden", "2", "--lr", "0", "--early-stop", "1"]
    for value in (f"{least:04d}", most):
        assert run(capsys, *argv, "--epochs", 2, option, value)[0] == 0
    assert f"{option} must be a whole number <= {most}" in short(capsys, *argv, option, most + 1)


@pytest.mark.parametrize("option", ["--lr", "--momentum", "--weight-decay"])
def test_what_is_no_number(capsys, classes_csv, option):
    for text in (HUGE, "1_0", "\u0663", "x" * 100_000, "", "-inf"):
        short(capsys, "train", "--data", classes_csv, "--target", "kind", "--optimizer", "sgd", f"{option}={text}")


@pytest.mark.parametrize("option", ["--optimizer", "--model", "--like", "--dataset", "--target", "--out", "--schedule"])
def test_messages_have_bounds(capsys, classes_csv, option):
    for text in ("x" * 100_000, "\x1b[31m" * 1000, "constant(" * 5000, ""):
        rest = ["--data", classes_csv, "--target", "kind"] if option not in ("--dataset", "--target") else []
        rest = ["--data", classes_csv] if option == "--target" else rest
        assert "\x1b" not in short(capsys, "train", *rest, f"{option}={text}")
    short(capsys, "train", "y" * 100_000)
    short(capsys, "find-lr", "--steps", HUGE)
    short(capsys, "bench", "--threads", HUGE)


def test_a_file_of_an_enormous_field(capsys, tmp_path):
    (tmp_path / "a.csv").write_text("a,y\n" + "1x" * 60_000 + ",2\n")
    assert "row 1 (line 2), column 'a' must be a number" in short(
        capsys, "train", "--data", tmp_path / "a.csv", "--target", "y"
    )


def test_more_epochs_than_anyone_counts(capsys, classes_csv):
    argv = ["train", "--data", classes_csv, "--target", "kind", "--hidden", 2, "--epochs", 10**20, "--early-stop", 1]
    status, out, _ = run(capsys, *argv, "--schedule", "constant(0)")
    assert status == 0
    assert "run        100,000,000,000,000,000,000 epochs" in out
    assert "stopped    after epoch 2" in out


def test_a_schedule_is_looked_at_a_bounded_number_of_times(classes_csv, capsys, monkeypatch):
    asked = []
    schedule = lr.schedules.Schedule.__call__

    def counting(self, step):
        asked.append(np.size(step))
        return schedule(self, step)

    monkeypatch.setattr(lr.schedules.Schedule, "__call__", counting)
    monkeypatch.setattr(Trainer, "epoch", lambda self, *args: (_ for _ in ()).throw(KeyboardInterrupt))
    argv = ["train", "--data", classes_csv, "--target", "kind", "--epochs", 10**20, "--schedule"]
    assert run(capsys, *argv, "cosine(0.1, 1000000)")[0] == 130
    assert sum(asked) < 50_000
    assert "--schedule must be finite and >= 0 at every step, got -1 at step 10000000000" in fails(
        capsys, *argv, "linear(0.1, -1, 10000000000)"
    )


def test_a_rate_that_turns_out_invalid_ends_in_one_line(capsys, classes_csv, monkeypatch):
    monkeypatch.setattr("lrcore.train.command._LOOKED_AT", 1)  # the first step and the last
    argv = ["train", "--data", classes_csv, "--target", "kind", "--epochs", 4, "--hidden", 2]
    text = "constant(0.1).then(linear(-0.5, 0, 10), at=8).then(constant(0.1), at=20)"
    assert "--schedule: lr at step 8 must be finite and >= 0, got -0.5" in fails(capsys, *argv, "--schedule", text)


# The environment.


@pytest.mark.parametrize("name", ["LRCORE_ISA", "LRCORE_NUM_THREADS"])
@pytest.mark.parametrize("command", ["script", "-m", "-mlrcore", "program"])
def test_a_wrong_environment(name, command):
    script = os.path.join(os.path.dirname(sys.executable), "lrcore")
    argv = {
        "script": [script, "info"],
        "-m": [sys.executable, "-m", "lrcore", "info", "-m", "x"],
        "-mlrcore": [sys.executable, "-X", "dev", "-mlrcore", "info"],
        "program": [sys.executable, "-c", "import lrcore", "-m", "lrcore"],
    }[command]
    if not os.path.exists(argv[0]):
        pytest.skip("the script is not installed beside the interpreter")
    for value in ("no", "x" * 5000):
        done = subprocess.run(argv, env=os.environ | {name: value}, capture_output=True, text=True, check=False)
        assert f"{name} must be " in done.stderr
        if command == "program":
            assert done.returncode == 1
            assert "\nImportError: " in done.stderr
        else:
            assert done.returncode == 2
            assert done.stderr.startswith("lrcore: ")
            assert done.stderr.count("\n") == 1
            assert len(done.stderr) < 600


# Files.


@pytest.mark.parametrize("name", ["history.csv", "parameters.npz"])
def test_a_folder_where_a_file_should_be_is_seen_before_training(capsys, classes_csv, tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.setattr(Trainer, "epoch", lambda *args: pytest.fail("trained"))
    err = short(capsys, "train", "--data", classes_csv, "--target", "kind", "--out", tmp_path)
    assert f"'{tmp_path / name}' is a directory" in err


def test_what_changes_while_training_is_one_line(capsys, classes_csv, tmp_path, monkeypatch):
    whole_epoch = Trainer.epoch
    out = tmp_path / "run"

    def epoch(self, *args):
        (out / "history.csv").mkdir(parents=True, exist_ok=True)
        return whole_epoch(self, *args)

    monkeypatch.setattr(Trainer, "epoch", epoch)
    err = short(capsys, "train", "--data", classes_csv, "--target", "kind", "--epochs", 1, "--out", out)
    assert "cannot be written: Is a directory; what was trained is lost" in err
    assert os.listdir(out) == ["history.csv"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_the_output():
    with open("/dev/full", "w") as full:
        argv = [sys.executable, "-m", "lrcore", "info"]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "lrcore: output cannot be written: No space left on device\n")


def test_a_column_that_is_left_out_is_named(capsys, tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"{k},{rng.normal():.3f},{'ab'[k % 2]}" for k in range(40)]
    (tmp_path / "a.csv").write_text("\n".join([",x,y", *lines, ""]))
    status, out, _ = run(capsys, "train", "--data", tmp_path / "a.csv", "--target", "y", "--epochs", 1)
    assert status == 0
    assert "1 features; 'y'" in out
    assert "left out   the first column, '': it numbers the rows\n" in out

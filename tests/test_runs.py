"""The runs that the documents print, digit for digit, from the functions of ``examples/``."""

import runpy
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
rates = runpy.run_path(str(EXAMPLES / "learning_rates.py"))
regression = runpy.run_path(str(EXAMPLES / "regression.py"))

SQUARE = "2 1.6 1.28 1.024 0.8192 0.65536 0.524288 0.4194304 0.33554432 0.268435456 0.2147483648"
SQUARE_LOSS = (
    "4 2.56 1.6384 1.048576 0.67108864 0.4294967296 0.274877906944 0.17592186044416 0.1125899906842624 "
    "0.07205759403792794 0.04611686018427388"
)


def printed(values):
    return " ".join(map(str, values))


def test_right_rate():
    ended, w, _ = rates["right_rate"]()
    assert w.dtype == np.float32
    assert printed(w[:13]) == (
        "5.0 2.6 1.16 0.296 -0.22240001 -0.53344 -0.720064 -0.8320384 -0.899223 -0.9395338 -0.9637203 -0.9782322 "
        "-0.9869393"
    )
    assert len(w) == 41
    assert str(w[-1]) == "-0.99999994"
    assert ended == "completed"


def test_too_large():
    ended, w, loss = rates["too_large"]()
    assert printed(w) == " ".join(["5.0", *["-7.0", "5.0"] * 20])
    assert set(loss) == {36.0}
    assert ended == "oscillated"


def test_too_small():
    ended, w, _ = rates["too_small"]()
    assert w.dtype == np.float32
    assert printed(w[:9]) == "5.0 4.9988 4.9976 4.9964004 4.995201 4.994002 4.992803 4.9916043 4.990406"
    assert len(w) == 41
    assert str(w[-1]) == "4.952183"
    assert ended == "completed"


def test_falling_rate():
    ended, w, _ = rates["falling_rate"]()
    assert w.dtype == np.float32
    assert printed(w) == (
        "5.0 4.2 3.56 3.0479999 2.6383998 2.31072 2.0485759 1.8388608 1.6710886 1.5368708 1.4294966 1.3444563 "
        "1.2762539 1.2215557 1.1776876"
    )
    assert ended == "completed"


def test_in_double():
    """The text prints exact values, to 16 digits. float64, which has no 0.1, has 15 digits of them; float32 has 7."""
    _, w, loss = rates["in_double"]()
    assert w.dtype == np.float64
    assert [f"{x:.15g}" for x in w] == SQUARE.split()
    np.testing.assert_allclose(loss, [float(x) for x in SQUARE_LOSS.split()], rtol=1e-15)
    exact = [(2 * Decimal("0.8") ** t, 4 * Decimal("0.64") ** t) for t in range(11)]
    assert [f"{w.normalize():.16g}" for w, _ in exact] == SQUARE.split()
    assert [f"{loss.normalize():.16g}" for _, loss in exact] == SQUARE_LOSS.split()


def test_regression_as_printed():
    x, y = regression["samples"]()
    w, history = regression["as_printed"](x, y)
    assert history.ended == "diverged"
    assert history.step[-1] < 10
    assert np.isfinite(w).all()
    # Each step multiplies the error by 1 - 2 lr sum(x^2): about -5.6 where x is uniform on [0, 1).
    best = x @ y / (x @ x)
    factor = 1 - 0.2 * (x @ x)
    assert factor == pytest.approx(-5.6, abs=0.5)
    np.testing.assert_allclose(w[0] - best, (0 - best) * factor ** history.step[-1], rtol=1e-10)


def test_regression_mended():
    x, y = regression["samples"]()
    line, history = regression["mended"](x, y)
    assert history.ended == "completed"
    assert line["slope"][0] == pytest.approx(2, abs=0.1)
    assert line["intercept"][0] == pytest.approx(3.5, abs=0.1)
    np.testing.assert_allclose((line["slope"][0], line["intercept"][0]), np.polyfit(x, y, 1), rtol=1e-8)
    assert history.lr[0] == 0.5
    assert history.lr[-1] == 0.25


@pytest.mark.parametrize(
    ("script", "words"),
    [("learning_rates.py", "oscillated after 40 steps"), ("regression.py", "diverged at step 6")],
)
def test_example_runs(script, words, capsys):
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    assert words in capsys.readouterr().out

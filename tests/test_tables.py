"""Tables: what is read from CSV files, what is refused and how, how rows are held out and standardised."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lrcore.train.tables import BUNDLED, DataError, Split, Table, bundled, read_csv, split


def write(path, text, encoding="utf-8"):
    path.write_text(text, encoding=encoding)
    return str(path)


def table(features, target, one_unit=False):
    features = np.asarray(features, dtype=np.float64)
    is_text = any(isinstance(value, str) for value in target)
    names = tuple(f"f{k}" for k in range(features.shape[1]))
    return Table("t", features, names, np.array(target, dtype=object if is_text else float), "y", one_unit)


def test_csv_with_the_target_in_the_middle(tmp_path):
    path = write(tmp_path / "a.csv", "height, kind ,width\n1.5,tall,-2e3\n\n 2 ,small, 7\n")
    read = read_csv(path, "kind")
    assert read.feature_names == ("height", "width")
    assert_array_equal(read.features, [[1.5, -2000], [2, 7]])
    assert read.target.tolist() == ["tall", "small"]
    assert read.target_name == "kind"
    assert read.name == path


def test_csv_with_a_numeric_target_quotes_and_a_byte_order_mark(tmp_path):
    path = write(tmp_path / "a.csv", '"größe, cm",y\r\n"1",2\r\n3,"4.5"\r\n', encoding="utf-8-sig")
    read = read_csv(path, "y")
    assert read.feature_names == ("größe, cm",)
    assert_array_equal(read.target, [2, 4.5])
    assert read.target.dtype == np.float64


BAD_FILES = {
    "empty": ("", "must have a line of column names and rows of numbers, but is empty"),
    "blank lines": ("\n\n", "but is empty"),
    "no column": ("a,b\n1,2\n", "has no column 'y'; its columns are 'a', 'b'"),
    "many columns": (",".join(map(str, range(40))), "'10', '11' and 28 more"),
    "same names": ("a,a,y\n1,2,3\n", "column names must differ, got 'a' 2 times"),
    "target alone": ("y\n1\n", "must have a feature column beside the target 'y', got none"),
    "short row": ("a,y\n1,2\n3\n", r"row 2 \(line 3\) must have 2 fields as the header has, got 1"),
    "long row": ("a,y\n1,2,3\n", r"row 1 \(line 2\) must have 2 fields as the header has, got 3"),
    "text": ("a,b,y\n1,2,3\n\n1,abc,3\n", r"row 2 \(line 4\), column 'b' must be a number, got 'abc'"),
    "comma": ('a,y\n"1,5",2\n', r"row 1 \(line 2\), column 'a' must be a number, got '1,5'"),
    "underscore": ("a,y\n1_5,2\n", r"column 'a' must be a number, got '1_5'"),
    "missing": ("a,y\n,2\n", r"row 1 \(line 2\), column 'a' must be a number, got ''"),
    "nan": ("a,y\nnan,2\n", r"row 1 \(line 2\), column 'a' must be finite, got 'nan'"),
    "inf": ("a,y\n-inf,2\n", r"row 1 \(line 2\), column 'a' must be finite, got '-inf'"),
    "too large": ("a,y\n1e999,2\n", r"row 1 \(line 2\), column 'a' must be finite, got '1e999'"),
    "no target": ("a,y\n1,2\n1, \n", r"row 2 \(line 3\), column 'y' must not be empty"),
    "nan target": ("a,y\n1,2\n1,nan\n", r"column 'y', row 2 must be finite, got 'nan'"),
    "enormous field": ("a,y\n" + "1" * 200_000 + ",2\n", "is not a CSV file: field larger than"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_csv_says_what_is_wrong_and_where(case, tmp_path):
    text, message = BAD_FILES[case]
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(DataError, match=message) as caught:
        read_csv(path, "y")
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_csv(str(tmp_path / "none.csv"), "y")
    with pytest.raises(DataError, match="cannot be read: "):
        read_csv(str(tmp_path), "y")
    (tmp_path / "binary.csv").write_bytes(b"a,y\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="must be UTF-8 text, got byte 0xff"):
        read_csv(str(tmp_path / "binary.csv"), "y")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (["a", "b", "a"], True),
        ([0, 1, 2], True),
        ([-1.0, 3.0, 3.0], True),
        (range(20), True),
        (range(21), False),
        ([0.5, 1.0, 1.0], False),
        ([1e300, 2e300, 1e300], False),
    ],
)
def test_which_targets_read_as_classes(target, expected):
    assert table(np.zeros((len(target), 1)), target).has_classes is expected


def test_a_fifth_of_each_class_is_held_out():
    target = ["a"] * 50 + ["b"] * 10 + ["c"] * 40
    parts = split(table(np.arange(100)[:, None], target), classify=True, seed=4)
    assert parts.classes.tolist() == ["a", "b", "c"]
    assert np.bincount(parts.y_held).tolist() == [10, 2, 8]
    assert np.bincount(parts.y).tolist() == [40, 8, 32]
    for x, y in ((parts.x, parts.y), (parts.x_held, parts.y_held)):  # rows keep their target
        row = np.round(x[:, 0] * parts.std + parts.mean).astype(int)
        assert [target[k] for k in row] == parts.classes[y].tolist()


def test_a_rare_class_is_trained_on():
    parts = split(table(np.arange(20)[:, None], [3.0] * 19 + [8.0]), classify=True)
    assert parts.classes.tolist() == [3, 8]
    assert parts.classes.dtype == np.int64
    assert 1 in parts.y


def test_every_row_is_in_one_part_and_the_seed_decides_which():
    rows = table(np.arange(50)[:, None], np.arange(50) / 7)

    def held(seed):
        parts = split(rows, classify=False, seed=seed)
        both = np.r_[parts.x, parts.x_held][:, 0] * parts.std + parts.mean
        assert_allclose(np.sort(both), np.arange(50), atol=1e-4)
        assert len(parts.y_held) == 10
        return parts.x_held.tolist()

    assert held(1) == held(1)
    assert held(1) != held(2)


def test_training_rows_alone_standardise():
    rng = np.random.default_rng(0)
    rows = table(rng.normal([5, -300], [0.1, 70], (40, 2)), rng.normal(1e4, 50, 40))
    parts = split(rows, classify=False)
    assert_allclose(parts.x.mean(axis=0), 0, atol=1e-5)
    assert_allclose(parts.x.std(axis=0), 1, rtol=1e-5)
    assert np.abs(parts.x_held.mean(axis=0)).max() > 1e-3
    assert_allclose(np.std(parts.y), 1, rtol=1e-5)
    both = np.r_[parts.y, parts.y_held] * parts.target_std + parts.target_mean
    assert_allclose(np.sort(both), np.sort(rows.target), rtol=1e-5)
    assert parts.classes is None
    assert {a.dtype for a in (parts.x, parts.y, parts.x_held, parts.y_held)} == {np.dtype(np.float32)}


def test_a_constant_feature_becomes_zero():
    features = np.c_[np.full(30, 0.1), np.arange(30)]
    parts = split(table(features, np.arange(30) / 3), classify=False)
    assert np.abs(parts.x[:, 0]).max() < 1e-6
    assert parts.std[0] == 1


def test_features_of_one_unit_share_a_deviation():
    features = np.random.default_rng(0).normal(0, [1, 3, 0], (1000, 3))
    parts = split(table(features, np.arange(1000) / 3, one_unit=True), classify=False)
    assert_allclose(parts.std, np.sqrt(10 / 3), rtol=0.1)
    assert len(set(parts.std)) == 1


NUMBERS = np.arange(30) / 3
BAD_SPLITS = {
    "few rows": (NUMBERS[:9], False, "'t' must have at least 10 rows, got 9"),
    "text": (["1", "x"] * 15, False, "target 'y' must be numeric for regression, got 'x'"),
    "constant": ([3] * 30, False, "target 'y' must vary, got 3 in every row"),
    "fraction": (NUMBERS, True, "must be text or whole numbers to be a class, got 0.333333"),
    "one class": (["x"] * 30, True, "must have two classes or more, got 'x' alone"),
    "one number": ([3] * 30, True, r"must have two classes or more, got 3\.0 alone"),
    "many classes": (np.arange(30), True, "must have 5 rows a class or more on average, got 30 diff"),
    "many texts": ([*"1234567", "n/a"] * 3, True, "8 different values in 24 rows, 'n/a' not being a number"),
}


@pytest.mark.parametrize("case", BAD_SPLITS)
def test_bad_targets_say_what_is_wrong(case):
    target, classify, message = BAD_SPLITS[case]
    with pytest.raises(DataError, match=message):
        split(table(np.zeros((len(target), 1)), target), classify)


def test_values_that_float32_cannot_hold_are_refused():
    features = np.c_[np.arange(30.0), np.linspace(-1e200, 1e200, 30)]
    with pytest.raises(DataError, match=r"'f1' must stay finite when standardised in float32, got .?1e\+200"):
        split(table(features, NUMBERS), classify=False)


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("digits", (1797, 64), list(range(10))),
        ("breast_cancer", (569, 30), ["benign", "malignant"]),
        ("wine", (178, 13), ["class_0", "class_1", "class_2"]),
        ("diabetes", (442, 10), None),
    ],
)
def test_bundled_data_sets(name, shape, classes):
    pytest.importorskip("sklearn")
    read = bundled(name)
    assert name in BUNDLED
    assert read.features.shape == shape
    assert len(read.feature_names) == shape[1]
    assert read.has_classes is (classes is not None)
    parts = split(read, read.has_classes)
    assert isinstance(parts, Split)
    assert (parts.classes.tolist() if classes else parts.classes) == classes


def test_bundled_data_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r'digits comes with scikit-learn.*pip install "lrcore\[train\]"'):
        bundled("digits")


def test_unknown_bundled_data():
    with pytest.raises(DataError, match=r"data set must be one of digits, breast.*, got 'x'"):
        bundled("x")

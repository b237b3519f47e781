"""Tables: what is read from CSV files, what is refused and how, how rows are held out and standardised."""

import os
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


# Columns that are no features, separators, endings, labels.


def rows(head, *columns, count=30, sep=",", end="\n"):
    lines = [head, *(sep.join(str(column(k)) for column in columns) for k in range(count))]
    return end.join([*lines, ""])


def wave(k):
    return f"{np.sin(k):.4f}"


SHUFFLED = np.random.default_rng(0).permutation(30)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("", int),
        ("", lambda k: k + 1),
        ("Unnamed: 0", int),
        ("", lambda k: SHUFFLED[k]),
        ("", lambda k: 3 * k + 7),
        ("", lambda k: k % 15),
        ("index", int),
        ("Id", lambda k: k + 1),
    ],
)
def test_a_column_that_numbers_the_rows_is_no_feature(tmp_path, name, number):
    read = read_csv(write(tmp_path / "a.csv", rows(f"{name},a,y", number, wave, wave)), "y")
    assert read.feature_names == ("a",)
    assert read.left_out == name
    assert_allclose(read.features[:, 0], np.round(np.sin(np.arange(30)), 4))


@pytest.mark.parametrize(
    ("name", "number"),
    [("", wave), ("", lambda k: k % 2), ("day", int), ("id", lambda k: SHUFFLED[k]), ("index", lambda k: 2 * k)],
)
def test_a_column_that_may_say_something_stays(tmp_path, name, number):
    read = read_csv(write(tmp_path / "a.csv", rows(f"{name},a,y", number, wave, wave)), "y")
    assert read.feature_names == (name, "a")
    assert read.left_out is None


def test_row_numbers_alone_are_no_features(tmp_path):
    with pytest.raises(DataError, match="must have a feature column beside the target 'y' and the row numbers"):
        read_csv(write(tmp_path / "a.csv", rows(",y", int, wave)), "y")


@pytest.mark.parametrize(("sep", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (" ", "spaces")])
@pytest.mark.parametrize("decimal", [".", ","])
def test_a_wrong_separator_is_named(tmp_path, sep, name, decimal):
    text = rows(sep.join("aby"), wave, wave, wave, sep=sep).replace(".", decimal)
    with pytest.raises(DataError, match=f"fields must be separated by commas, but {name} stand between them"):
        read_csv(write(tmp_path / "a.csv", text), "y")


def test_a_wrong_separator_below_the_header_is_named(tmp_path):
    with pytest.raises(DataError, match=r"row 1 \(line 2\) must have 2 fields .* but semicolons stand"):
        read_csv(write(tmp_path / "a.csv", "a,y\n1;2\n"), "y")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_endings_of_every_system(tmp_path, end):
    (tmp_path / "a.csv").write_bytes(rows("a,y", wave, lambda k: "ab"[k % 2], end=end).encode())
    read = read_csv(str(tmp_path / "a.csv"), "y")
    assert read.features.shape == (30, 1)
    assert set(read.target) == {"a", "b"}


BAD_LABELS = {
    "leading zero": (["1", "01", "2"], r"one way, got '1' in row 1 and '01' in row 2"),
    "zeros beside text": (["1", "1.0", "x"], r"one way, got '1' in row 1 and '1.0' in row 2"),
    "truth in two spellings": (["True", "False", "true"], r"one way, got 'True' in row 1 and 'true' in row 3"),
    "truth and number": (["True", "0", "1"], r"one way, got 'True' in row 1 and '1' in row 3"),
    "NA": (["cold", "NA", "hot"], r"row 2 must be a class, got 'NA', which reads as a missing value"),
    "nan beside text": (["cold", "hot", "nan"], r"row 3 must be a class, got 'nan'"),
    "question mark": (["0", "1", "?"], r"row 3 must be a class, got '\?'"),
    "None beside numbers": (["0", "1", "None"], r"row 3 must be a class, got 'None'"),
    "line break": (["cold", '"hot\n1,cold"', "hot"], "must be a single line"),
    "very long": (["cold", "x" * 1001, "hot"], "must have at most 1,000 characters, got 1,001"),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_labels_that_would_make_a_wrong_model_are_refused(case, tmp_path):
    labels, message = BAD_LABELS[case]
    path = write(tmp_path / "a.csv", rows("a,y", wave, lambda k: labels[k % 3]))
    with pytest.raises(DataError, match=message):
        read_csv(path, "y")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["True", "False"], {"True", "False"}),
        (["none", "mild"], {"none", "mild"}),
        (["01", "02"], {1.0, 2.0}),
        (["1", "1.0"], {1.0}),
        (["a", "A"], {"a", "A"}),
        (["hot ", " hot", "cold"], {"hot", "cold"}),
        (["0", "A"], {"0", "A"}),
    ],
)
def test_labels_that_are_what_they_seem(tmp_path, labels, expected):
    path = write(tmp_path / "a.csv", rows("a,y", wave, lambda k: labels[k % len(labels)]))
    assert set(read_csv(path, "y").target.tolist()) == expected


# Input without bounds.


class Counted(str):
    """Text that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Counted.compared += 1
        return str.__eq__(self, other)

    def strip(self, *chars):
        return self


def test_wide_tables_take_work_in_proportion(tmp_path, monkeypatch):
    import csv

    path = tmp_path / "a.csv"
    reader = csv.reader

    def counting(*args, **kwargs):
        return (list(map(Counted, row)) for row in reader(*args, **kwargs))

    compared = []
    for width in (500, 2000):
        write(path, ",".join([*(f"c{k}" for k in range(width)), "y"]) + "\n")
        monkeypatch.setattr("lrcore.train.tables.csv.reader", counting)
        Counted.compared = 0
        read_csv(str(path), "y")
        compared.append(Counted.compared)
    assert compared[1] <= 5 * compared[0]


LONG = "x" * 120_000
ENDLESS = {
    "field": (f"a,y\n{LONG},1\n", "column 'a' must be a number, got 'xxx"),
    "name": (f"{LONG},y\n1,1\n", "a column's name must have at most 1,000 characters, got 120,000"),
    "label": (f"a,y\n1,{LONG}\n", "must have at most 1,000 characters, got 120,000"),
    "header": (",".join("c" * 500 + str(k) for k in range(200)), "has no column 'y'; its columns are 'c"),
    "quote": ('a,y\n"' + "1,2\n" * 100_000, "a quotation mark may be missing"),
    "quote at the end": ('a,y\n1,"2\n', "a quotation mark may be missing"),
    "text after a quote": ('a,y\n"1"2,3\n', "a quotation mark may be missing"),
    "nul": ("a,y\n1,2\n\0,1\n", "must be text, got a NUL byte in line 3"),
    "one line": ("1" * 100_000, "has no column|is not a CSV|at most"),
}


@pytest.mark.parametrize("case", ENDLESS)
def test_errors_have_bounds(case, tmp_path):
    text, message = ENDLESS[case]
    with pytest.raises(DataError, match=message) as caught:
        read_csv(write(tmp_path / "a.csv", text), "y")
    assert len(str(caught.value)) < 1200
    assert "\n" not in str(caught.value)


def test_a_line_without_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("lrcore.train.tables._LONGEST_LINE", 1000)
    with pytest.raises(DataError, match="must have lines shorter than 1,000 characters"):
        read_csv(write(tmp_path / "a.csv", "a,y\n" + "1," * 2000), "y")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_that_nobody_writes_to_and_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="but is empty"):
        read_csv(str(tmp_path / "pipe"), "y")
    with pytest.raises(DataError, match="must be a file or a pipe, got a device"):
        read_csv(os.devnull, "y")
    with pytest.raises(DataError, match="NUL in its name"):
        read_csv("a\0b", "y")


def test_a_pipe_that_is_written_to(tmp_path):
    reader, writer = os.pipe()
    os.write(writer, rows("a,y", wave, wave).encode())
    os.close(writer)
    if os.path.isdir("/proc/self/fd"):
        assert read_csv(f"/proc/self/fd/{reader}", "y").features.shape == (30, 1)
    os.close(reader)

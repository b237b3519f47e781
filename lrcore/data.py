"""Where reading tables was in 0.1; now :mod:`lrcore.train.tables`."""

from lrcore.train.tables import DataError, Table, read_csv

__all__ = ["DataError", "Table", "read_csv"]

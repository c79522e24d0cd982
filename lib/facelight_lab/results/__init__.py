"""Measured evidence: `records` keeps runs; `numerics` compares them with today; `facelight_lab.frame` reads them."""

from facelight_lab.results.numerics import differences
from facelight_lab.results.records import Record, commit, find, key, load, named, record, root, save
from facelight_lab.statistics import PairedDifference, paired_difference, summary
from facelight_lab.statistics import spread as format_spread
from facelight_lab.tables import beside_paper

__all__ = [
    "PairedDifference",
    "Record",
    "beside_paper",
    "commit",
    "differences",
    "find",
    "format_spread",
    "key",
    "load",
    "named",
    "paired_difference",
    "record",
    "root",
    "save",
    "summary",
]

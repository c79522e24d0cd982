"""Measured evidence: `records` keeps runs; `numerics` compares them with today; `facelight_lab.frame` reads them."""

from facelight_lab.results.numerics import differences
from facelight_lab.results.plain import LATER, settings
from facelight_lab.results.records import Record, clean, commit, find, key, load, named, record, root, save

__all__ = [
    "LATER",
    "Record",
    "clean",
    "commit",
    "differences",
    "find",
    "key",
    "load",
    "named",
    "record",
    "root",
    "save",
    "settings",
]

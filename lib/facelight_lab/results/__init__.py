"""Measured evidence: `records` keeps runs with their provenance, `tables` turns them into what chapters print."""

from facelight_lab.results.records import Record, commit, find, key, load, record, root, save
from facelight_lab.results.tables import (
    PairedDifference,
    beside_paper,
    format_spread,
    paired_difference,
    summary,
    table,
)

__all__ = [
    "PairedDifference",
    "Record",
    "beside_paper",
    "commit",
    "find",
    "format_spread",
    "key",
    "load",
    "paired_difference",
    "record",
    "root",
    "save",
    "summary",
    "table",
]

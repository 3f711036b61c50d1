"""Criteria of dynamic segments: a tree of `all`, `any` and `not` over leaves.

Each leaf is one class that says everything about itself: how it is read from JSON, what it means in SQL and over
columns of customers in memory, when time alone can change it, and in plain English. A property test holds SQL and
columns equal.
"""

from shared.domain.criteria.columns import MISSING, NEVER, Columns, Entries, Labels
from shared.domain.criteria.leaf import Leaf, Tables
from shared.domain.criteria.tree import Criteria, parse, references

__all__ = ["MISSING", "NEVER", "Columns", "Criteria", "Entries", "Labels", "Leaf", "Tables", "parse", "references"]

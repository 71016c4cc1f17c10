# SPDX-License-Identifier: Apache-2.0
"""Text files that come with the images: timestamps, poses, matrices."""

from __future__ import annotations

import array
import re
from collections.abc import Callable
from collections.abc import Sequence as Items
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.times import check_rate, in_nanoseconds
from depth_recog.errors import SourceError
from depth_recog.files import read_lines
from depth_recog.limits import DIGITS
from depth_recog.texts import shown

_DATE = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?", re.ASCII)
_MOST_NS = 2**63 - 1


def read_numbers(
    path: Path, columns: int | None = None, finite: bool = True, in_place: bool = False
) -> NDArray[np.float64]:
    """Reads a text file of numbers, one row a line.

    Args:
        path: the file.
        columns: required numbers a line; None for any.
        finite: whether nan and inf are errors.
        in_place: whether line n belongs to image n: then a blank line between others is an error.

    Returns:
        (rows, columns) float64, at least one row.

    Raises:
        SourceError: the file is missing, or is no such table.
    """
    try:
        lines = _without_end(read_lines(path))
        if in_place and not all(line.strip() for line in lines):
            raise ValueError("a line is blank, but line n belongs to image n")
        rows = _table(lines)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} is not a table of numbers ({error}): restore it") from error
    if rows.size == 0 or (columns is not None and rows.shape[1] != columns):
        wanted = "numbers" if columns is None else f"{columns} numbers"
        raise SourceError(f"{path} does not hold {wanted} a line: restore it")
    if finite and not np.isfinite(rows).all():
        raise SourceError(f"{path} holds numbers that are not finite: restore it")
    return rows


def read_stamps(path: Path) -> list[int | None]:
    """Reads timestamps, one a line; None for a blank line, which keeps its place.

    They are whole numbers (the size tells the unit), seconds with a decimal point, or
    `2011-09-26 13:04:32.345808896` (UTC).

    Returns:
        Nanoseconds, strictly increasing; blank lines at the end are left out.

    Raises:
        SourceError: the file is missing or damaged, a stamp is not later than the one before, or
            the times are not those of a camera.
    """
    form = "whole nanoseconds or 2011-09-26 13:04:32.345808896"
    problem = "cannot be read as timestamps ({}): one a line is needed, " + form
    return _read_times(path, lambda texts: _nanoseconds(texts, path), problem)


def read_seconds(path: Path) -> list[int | None]:
    """Reads times in seconds, one a line; None for a blank line, which keeps its place.

    Returns:
        Nanoseconds, strictly increasing; blank lines at the end are left out.

    Raises:
        SourceError: the file is missing or damaged, a time is not later than the one before, or
            the times are not those of a camera.
    """
    problem = "is not a table of numbers ({}): restore it"
    return _read_times(path, lambda texts: [_in_range(float(t) * 1e9) for t in texts], problem)


def _read_times(
    path: Path, parse: Callable[[list[str]], list[int]], problem: str
) -> list[int | None]:
    """Reads one time a line; `problem` says what is wrong with the file, {} is the error."""
    try:
        texts = [line.strip() for line in _without_end(read_lines(path, "utf-8-sig"))]
        known = parse([text for text in texts if text])
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} {problem.format(error)}") from error
    check_rising(known, path)
    check_rate(known, path)
    rest = iter(known)
    return [next(rest) if text else None for text in texts]


def _nanoseconds(texts: list[str], path: Path) -> list[int]:
    """Raises ValueError or SourceError."""
    for text in texts:
        if len(text) > DIGITS:
            raise ValueError(f"{shown(text)} is no time")
    if texts and all(re.fullmatch(r"\d+", text) for text in texts):
        values = [_in_range(int(text)) for text in texts]
        check_rising(values, path, unit="")
        return in_nanoseconds(values, path)
    if all(re.fullmatch(r"\d+(\.\d*)?([eE][+-]?\d+)?", text) for text in texts):
        return [exact_nanoseconds(text) for text in texts]
    if not all(_DATE.fullmatch(text) for text in texts):
        raise ValueError("another form")
    stamps: list[int] = np.array(texts, dtype="datetime64[ns]").astype(np.int64).tolist()
    return stamps


def exact_nanoseconds(seconds: str) -> int:
    """Convert seconds to nanoseconds exactly; float seconds since the epoch lose some 100 ns.

    Raises:
        ValueError: the text is no finite number, or no time of this millennium.
    """
    try:
        value = Decimal(seconds) if len(seconds) <= DIGITS else Decimal("NaN")
        # A large exponent would become a number that fills the memory.
        if abs(value) <= _MOST_NS // 10**9:
            return round(value * 10**9)
    except (ArithmeticError, ValueError):
        pass
    raise ValueError(f"{shown(seconds)} is no time in seconds")


def _in_range(nanoseconds: float) -> int:
    """Raises ValueError for a time that 64 bits of nanoseconds cannot hold."""
    if not abs(nanoseconds) <= _MOST_NS:
        raise ValueError(f"{nanoseconds:.3g} ns is no time")
    return round(nanoseconds)


def _without_end(lines: list[str]) -> list[str]:
    """The lines without blank ones at the end."""
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _table(lines: list[str]) -> NDArray[np.float64]:
    """(rows, columns) float64. Raises ValueError where lines differ in their number of numbers."""
    values, columns = array.array("d"), 0
    for line in lines:
        row = [float(number) for number in line.split()]
        if not row:
            continue
        columns = columns or len(row)
        if len(row) != columns:
            raise ValueError(f"lines of {columns} and of {len(row)} numbers")
        values.extend(row)
    return np.array(values, np.float64).reshape(-1, columns or 1)


def check_rising(stamps: Items[int], path: Path, unit: str = " ns") -> None:
    """Raises SourceError unless every stamp is later than the one before."""
    for line, (before, after) in enumerate(pairwise(stamps), start=2):
        if after <= before:
            raise SourceError(
                f"{path}: stamp {line} ({after}{unit}) is not later than the one before "
                f"({before}{unit}): sort or correct them"
            )


def median_rate(stamps: Items[int]) -> float:
    """Rate by the median time between images, Hz; 10 for a single image."""
    gaps = [after - before for before, after in pairwise(stamps)]
    return 1e9 / median(gaps) if gaps else 10.0


def frame_number(file: Path, index: int) -> int:
    """The frame number in a file's name, else its position in the sequence.

    Side files are indexed by it, so that a copy without some of the images still fits them.
    """
    digits = re.search(r"[0-9]+", file.name)
    return int(digits.group()) if digits and len(digits.group()) < DIGITS else index


def line_of(rows: int, number: int, path: Path, image: Path) -> int:
    """Checks that a side file has a line for an image's number, and returns the number.

    Raises:
        SourceError: the file has too few lines.
    """
    if number >= rows:
        raise SourceError(
            f"{path} has {rows} lines, {image.name} needs line {number + 1}: restore the file, "
            "or delete it to do without"
        )
    return number

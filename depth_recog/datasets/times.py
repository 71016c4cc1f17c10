# SPDX-License-Identifier: Apache-2.0
"""Times of images in text files and file names: their unit, their order, and what cannot be."""

from __future__ import annotations

import logging
import math
import re
from bisect import bisect_left
from collections.abc import Sequence as Items
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median

from depth_recog.errors import SourceError

UNITS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3, "nanoseconds": 1}
FASTEST_HZ = 1000.0
_SLOWEST_NS = 86400 * 10**9
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800
_USUAL_HZ = 15.0


def in_nanoseconds(values: Items[int], place: Path) -> list[int]:
    """Converts whole numbers to nanoseconds; their size tells the unit.

    Numbers that are times since 1970 in seconds, milliseconds or microseconds are taken as such,
    with a warning; others are nanoseconds. Where two units fit, the one whose rate is nearest to
    15 Hz is taken. Nothing faster than 1 kHz is believed.

    Raises:
        SourceError: no unit fits.
    """
    gaps = [after - before for before, after in pairwise(values)]
    gap = median(gaps) if gaps else 0
    found: list[tuple[float, str]] = []
    for unit, ns in UNITS.items():
        since_1970 = _YEAR_2000 <= values[0] * ns / 1e9 <= _YEAR_2100
        if not (since_1970 or unit == "nanoseconds"):
            continue
        if gap > 0 and 1e9 / FASTEST_HZ <= gap * ns <= _SLOWEST_NS:
            found.append((abs(math.log(1e9 / (gap * ns) / _USUAL_HZ)), unit))
    if not found and gap > 0:
        raise SourceError(
            f"{place}: {values[0]}, {values[1]}, ... tell no unit: as nanoseconds they would be "
            f"{1e9 / gap:g} images a second. Write nanoseconds, or seconds with a decimal point"
        )
    unit = min(found)[1] if found else "nanoseconds"
    if unit != "nanoseconds":
        logging.getLogger(__name__).warning("%s: %d is taken as %s", place, values[0], unit)
    return [value * UNITS[unit] for value in values]


def check_rate(stamps: Items[int], place: Path) -> None:
    """Checks that stamps in nanoseconds can be those of a camera.

    Raises:
        SourceError: there are more than a thousand images a second, or days between images.
    """
    gaps = [after - before for before, after in pairwise(stamps)]
    if not gaps:
        return
    gap = median(gaps)
    if 0 < gap < 1e9 / FASTEST_HZ or gap > _SLOWEST_NS:
        raise SourceError(
            f"{place}: the times are {gap / 1e9:g} s apart, which no camera has: correct their unit"
        )


def filled(stamps: Items[int | None], place: Path) -> list[int]:
    """Replaces unknown times (blank lines) by those between their neighbours, with a warning.

    Raises:
        SourceError: no time is known.
    """
    known = [i for i, stamp in enumerate(stamps) if stamp is not None]
    if not known:
        raise SourceError(f"{place} holds no times: restore or delete it")
    if len(known) == len(stamps):
        return [stamp for stamp in stamps if stamp is not None]
    logging.getLogger(__name__).warning(
        "%s: %d lines are blank: those images get times between their neighbours'",
        place,
        len(stamps) - len(known),
    )
    times = [int(stamps[i] or 0) for i in known]
    step = median(b - a for a, b in pairwise(times)) if len(times) > 1 else 10**8
    result = []
    for i, stamp in enumerate(stamps):
        at = bisect_left(known, i)
        if stamp is not None:
            result.append(int(stamp))
        elif 0 < at < len(known):
            a, b = known[at - 1], known[at]
            way = (i - a) / (b - a)
            result.append(round(times[at - 1] * (1 - way)) + round(times[at] * way))
        elif at:
            result.append(times[-1] + round(step * (i - known[-1])))
        else:
            result.append(times[0] - round(step * (known[0] - i)))
    return result


def decimal_seconds(files: list[Path]) -> list[int] | None:
    """Nanoseconds of files named by seconds with a decimal point; None for other names.

    Python's f"{time}.png" drops zeros at the end (1.2004 is before 1.3), some ROS tools drop zeros
    before the nanoseconds (1.2004 is 1 s and 2004 ns).

    Raises:
        SourceError: the names do not tell which of both they are.
    """
    parts = [re.fullmatch(r"([0-9]{1,17})\.([0-9]{1,17})", file.stem) for file in files]
    if not all(parts) or not parts:
        return None
    wholes = [part[1] for part in parts if part]
    fractions = [part[2] for part in parts if part]
    longest = max(map(len, fractions))
    as_decimal = [
        round(Decimal(f"{w}.{f}") * 10**9) for w, f in zip(wholes, fractions, strict=True)
    ]
    if len({len(f) for f in fractions}) == 1 or longest > 9:
        return as_decimal
    # Dropped zeros leave traces: none is left at the end, or none at the beginning.
    at_end = any(f.endswith("0") for f in fractions if len(f) > 1)
    at_start = any(f.startswith("0") for f in fractions if len(f) > 1)
    if at_start and not at_end:
        return as_decimal
    if at_end and not at_start and longest == 9:
        return [int(w) * 10**9 + int(f) for w, f in zip(wholes, fractions, strict=True)]
    if longest <= 7:
        return as_decimal
    raise SourceError(
        f"{files[0].parent}: the order of the images is not clear: "
        f"{min(files, key=lambda f: len(f.name)).name} may be a decimal number, or seconds and "
        "nanoseconds. Write every name with nine digits after the point"
    )


def times_of_names(files: list[Path]) -> tuple[list[Path], list[int] | None]:
    """The files in the order of their names' times, and these in nanoseconds, if names are times.

    Names are times if they are whole numbers since 1970 in seconds, milliseconds, microseconds or
    nanoseconds, or seconds with a decimal point. Others, as frame numbers, keep their order.

    Raises:
        SourceError: the unit or the order is not clear.
    """
    decimal = decimal_seconds(files)
    if decimal is not None:
        order = sorted(range(len(files)), key=decimal.__getitem__)
        files, times = [files[i] for i in order], [decimal[i] for i in order]
        return files, times if times[0] / 1e9 >= _YEAR_2000 else None
    if not files or not all(re.fullmatch(r"[1-9][0-9]{9,18}", file.stem) for file in files):
        return files, None
    values = [int(file.stem) for file in files]
    if not any(_YEAR_2000 <= values[0] * ns / 1e9 <= _YEAR_2100 for ns in UNITS.values()):
        return files, None
    return files, in_nanoseconds(values, files[0].parent)

# SPDX-License-Identifier: Apache-2.0
"""Every error a user can cause. The message says what was wrong, where, and what to do."""

from __future__ import annotations

from depth_recog.limits import MESSAGE_CHARACTERS
from depth_recog.texts import plain


class DepthRecogError(Exception):
    """Base of all errors that end in one clear line, never in a traceback.

    The text may hold names and values from files: it is shortened, and has no control characters.
    """

    def __str__(self) -> str:
        return plain(super().__str__(), MESSAGE_CHARACTERS)


class SourceError(DepthRecogError):
    """A source of images is missing, empty, cut off or of an unknown kind."""


class CalibrationError(DepthRecogError):
    """Intrinsics are missing, all zero, or do not fit the images."""


class UncalibratedError(CalibrationError):
    """There is no calibration, or it is all zeros: one may be assumed instead."""


class EncodingError(DepthRecogError):
    """An image message's encoding, step or length cannot be read."""


class WeightsError(DepthRecogError):
    """A weights file is missing, damaged, or belongs to another network."""


class DocumentError(DepthRecogError):
    """A YAML or JSON text is damaged, too large or too deep; says nothing of the file."""


class ConfigurationError(DepthRecogError):
    """A parameter or an option has a value that cannot be used."""


class DeviceError(DepthRecogError):
    """The requested compute device is not there."""


class OutputError(DepthRecogError):
    """An output folder cannot be written, or is not empty."""


class TrainingError(DepthRecogError):
    """A training cannot go on, or has nothing to learn from."""


def describe(error: BaseException) -> str:
    """The error's message; with the name of its type if it is not one of these errors."""
    if isinstance(error, DepthRecogError):
        return str(error)
    return plain(f"{type(error).__name__}: {error}", MESSAGE_CHARACTERS)

# SPDX-License-Identifier: Apache-2.0
"""The file layout of Cityscapes, and the images of one snippet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from depth_recog.datasets.image_files import list_images
from depth_recog.errors import SourceError

LAYOUT = "Cityscapes: its root with ?city=aachen&snippet=000000, or a folder of one city's images"

PACKAGES = ("leftImg8bit_sequence", "leftImg8bit")

_NAME = re.compile(r"(?P<city>.+)_(?P<sequence>\d{6})_(?P<frame>\d{6})_leftImg8bit")
_LARGEST_STEP = 17  # frames: a second
_LISTED = 12


@dataclass(frozen=True)
class CityscapesImage:
    """One image of the left camera; `sequence` has six digits, `number` is the frame's."""

    file: Path
    city: str
    sequence: str
    number: int

    @property
    def stem(self) -> str:
        """The common prefix of the names of this frame's files."""
        return f"{self.city}_{self.sequence}_{self.number:06d}"

    def side_file(self, packages: tuple[str, ...], suffix: str) -> Path | None:
        """This frame's file in another package or beside the image, if it exists."""
        name = f"{self.stem}_{suffix}"
        places = [place / name for place in side_folders(self.file.parent, packages)]
        return next((place for place in places if place.is_file()), None)


def side_folders(images: Path, packages: tuple[str, ...]) -> list[Path]:
    """Folders with files of the same images: those of other packages, and the images' own."""
    root, inner = images.parent.parent.parent, Path(images.parent.name) / images.name
    return [*(root / package / inner for package in packages), images]


def find_images(folder: Path, city: str | None) -> list[CityscapesImage]:
    """Finds the images of one city.

    Args:
        folder: the root of Cityscapes, or a folder of images.
        city: its name; optional for a folder of one city's images.

    Raises:
        SourceError: there are none, or the city is unknown or ambiguous.
    """
    images = [image for file in list_images(folder) if (image := _parsed(file)) is not None]
    if images:
        cities = sorted({image.city for image in images})
        if city is None and len(cities) > 1:
            raise SourceError(f"{folder} holds several cities: add ?city= and {_any_of(cities)}")
        images = [image for image in images if image.city == (city or cities[0])]
        if not images:
            raise SourceError(f"{folder} has no images of {city}: it has {_any_of(cities)}")
        return images
    places: dict[str, Path] = {}
    for package in PACKAGES:
        for place in sorted(folder.glob(f"{package}/*/*")):
            places.setdefault(place.name, place)
    if not places:
        raise SourceError(f"{folder} has no *_leftImg8bit.png and no {PACKAGES[0]}: give {LAYOUT}")
    if city not in places:
        problem = "holds several cities" if city is None else f"has no city {city!r}"
        raise SourceError(f"{folder} {problem}: add ?city= and {_any_of(sorted(places))}")
    found = [image for file in list_images(places[city]) if (image := _parsed(file)) is not None]
    if not found:
        raise SourceError(f"{places[city]} holds no *_leftImg8bit.png: unpack it again")
    return found


def one_snippet(
    images: list[CityscapesImage], wanted: str | None, place: Path
) -> list[CityscapesImage]:
    """Selects the images of one snippet: of one sequence, without gaps of more than a second.

    Args:
        images: the images of one city.
        wanted: a sequence such as 000000, or with the snippet's first frame 000000_000275; None for
            the only one.
        place: the folder, for the message.

    Raises:
        SourceError: none or several of them match.
    """
    snippets: dict[str, list[CityscapesImage]] = {}
    previous: CityscapesImage | None = None
    for image in sorted(images, key=lambda i: (i.sequence, i.number)):
        goes_on = (
            previous is not None
            and previous.sequence == image.sequence
            and image.number - previous.number <= _LARGEST_STEP
        )
        if not goes_on:
            snippets[f"{image.sequence}_{image.number:06d}"] = []
        next(reversed(snippets.values())).append(image)
        previous = image
    matching = [name for name in snippets if wanted in (None, name, name[:6])]
    if len(matching) == 1:
        return snippets[matching[0]]
    problem = f"has no snippet {wanted!r}" if not matching else "holds several snippets"
    raise SourceError(f"{place} {problem}: add ?snippet= and {_any_of(matching or list(snippets))}")


def _parsed(file: Path) -> CityscapesImage | None:
    match = _NAME.fullmatch(file.stem)
    return match and CityscapesImage(file, match["city"], match["sequence"], int(match["frame"]))


def _any_of(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"one of {', '.join(names[:_LISTED])}{more}"

# SPDX-License-Identifier: Apache-2.0
"""Draw every scene of the synthetic street for the documentation.

python benchmarks/scenes.py [OUT.png]

A row of three frames for each scene. Moving pixels and the boxes of moving objects are red, other
boxes green. The number over a box is the object's speed in metres per second.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.datasets.street import SCENES, SyntheticStreet
from depth_recog.pictures import MOVING_COLOR, captioned

FRAMES = (10, 57, 78)
SEED = 1
SIZE = (312, 96)
STANDING_COLOR = (60, 220, 60)
LEAST_SPEED = 0.1
LEAST_HEIGHT = 7

RGB = NDArray[np.uint8]


def panel(street: SyntheticStreet, index: int) -> RGB:
    image, truth = street[index].image.copy(), street.truth(index)
    moving = np.asarray(truth.moving)
    image[moving] = (0.5 * image[moving] + 0.5 * np.array(MOVING_COLOR)).astype(np.uint8)
    for box in sorted(truth.boxes or (), key=lambda box: -box.T_camera_from_box[2, 3]):
        outline = box.outline(street.camera)
        if outline is None or outline[3] - outline[1] < LEAST_HEIGHT:
            continue
        left, top, right, bottom = (round(v) for v in outline)
        moves = box.speed > LEAST_SPEED
        color = MOVING_COLOR if moves else STANDING_COLOR
        cv2.rectangle(image, (left, top), (right, bottom), color, 1)
        if moves:
            place = (max(left, 0), max(top - 2, 8))
            cv2.putText(image, f"{box.speed:.1f}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.3, color, 1)
    return image


def fewer_colours(image: RGB) -> RGB:
    """The image in steps of 20 levels, which makes the PNG small and keeps the boxes sharp."""
    return np.asarray(image // 20 * 20 + 10, np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("docs/images/scenes.png"))
    options = parser.parse_args()
    width, height = SIZE
    rows = []
    for scene in SCENES:
        street = SyntheticStreet(scene, SEED, max(FRAMES) + 2, width, height)
        panels = [panel(street, index) for index in FRAMES]
        rows.append(np.hstack((captioned(panels[0], scene), *panels[1:])))
    sheet = fewer_colours(np.vstack(rows))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), sheet[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

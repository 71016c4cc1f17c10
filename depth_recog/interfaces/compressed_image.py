# SPDX-License-Identifier: Apache-2.0
"""Conversion between RGB and the JPEG, PNG or TIFF of sensor_msgs/CompressedImage.

`format` follows image_transport: "jpeg", "png", or "ENCODING; jpeg compressed CHANNELS" with the
encoding before compression and the channel order that the compressor was given.
"""

from __future__ import annotations

import array
import struct

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import EncodingError
from depth_recog.interfaces import encoded_image, image_codec, image_header
from depth_recog.interfaces.bit_depth import FULL_RANGE, BitDepth
from depth_recog.texts import shown

FORMAT = "rgb8; jpeg compressed bgr8"
"""Format of `to_jpeg`."""
MASK_FORMAT = "mono8; png compressed "
"""Format of `to_png`, as image_transport writes it."""

_QUALITY = 95  # image_transport's default


def to_rgb(form: str, data: object, bits: BitDepth = FULL_RANGE) -> NDArray[np.uint8]:
    """Decodes an image.

    Args:
        form: the message's `format`.
        data: the message's bytes.
        bits: of 16-bit images.

    Returns:
        (H, W, 3) uint8, contiguous.

    Raises:
        EncodingError: neither JPEG, PNG nor TIFF, cut off, or damaged.
    """
    file = _bytes(data)
    pixels = bits.to_8_bit(_decode(form, file))
    encoding, _, compression = form.partition(";")
    if pixels.ndim == 2:
        # A PNG or TIFF of a Bayer image is the raw mosaic; a JPEG of one is grey.
        mosaic = encoding.startswith("bayer_") and "jpeg" not in compression and bool(compression)
        name = encoding.replace("16", "8") if mosaic else "mono8"
        height, width = pixels.shape
        return image_codec.to_rgb(name, height, width, width, np.ascontiguousarray(pixels))
    if encoding.startswith(("rgb", "bgr")) and compression and "compressed bgr" not in compression:
        # The compressor took these RGB values for BGR, as in image_transport.
        return np.ascontiguousarray(pixels[..., :3])
    code = cv2.COLOR_BGRA2RGB if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def size_of(data: object) -> tuple[int, int]:
    """(width, height) that the header of a message's bytes states. Raises EncodingError."""
    try:
        return image_header.size_of(_bytes(data))
    except (struct.error, IndexError) as error:
        text = "the size of a compressed image cannot be read: it is damaged or cut off"
        raise EncodingError(text) from error


def _bytes(data: object) -> bytes:
    # frombuffer takes array.array, bytes and ndarray alike.
    return np.frombuffer(data, np.uint8).tobytes()  # type: ignore[call-overload,no-any-return]


def _decode(form: str, data: bytes) -> NDArray[np.generic]:
    """Pixels as stored. Raises EncodingError."""
    what = f"compressed image ({shown(form)}, {len(data)} bytes)"
    if not data.startswith((encoded_image.JPEG, encoded_image.PNG, *encoded_image.TIFF)):
        raise EncodingError(
            f"{what} is neither JPEG, PNG nor TIFF: set the publisher's format to one of them"
        )
    # IMREAD_UNCHANGED ignores the EXIF orientation, which the calibration does not include.
    try:
        pixels = encoded_image.decode(data, cv2.IMREAD_UNCHANGED)
    except EncodingError as error:
        raise EncodingError(f"{what} cannot be decoded: {error}") from error
    if pixels is None:
        how = "truncated: its end is missing" if encoded_image.is_cut_off(data) else "damaged"
        raise EncodingError(f"{what} is {how}; check the link to the camera")
    if pixels.dtype not in (np.uint8, np.uint16):
        raise EncodingError(f"{what} holds {pixels.dtype} numbers: send 8 or 16 bits")
    return pixels


def to_jpeg(rgb: NDArray[np.uint8]) -> array.array[int]:
    """Encodes an (H, W, 3) uint8 RGB image as JPEG, of format `FORMAT`."""
    options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    file = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)[1]
    data = array.array("B")
    data.frombytes(file.tobytes())
    return data


def to_png(mask: NDArray[np.uint8]) -> array.array[int]:
    """Encodes an (H, W) uint8 mask as PNG, without loss, of format `MASK_FORMAT`."""
    data = array.array("B")
    # The fastest level: masks are smooth, a higher one saves little.
    data.frombytes(cv2.imencode(".png", mask, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())
    return data

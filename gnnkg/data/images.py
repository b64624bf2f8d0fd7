"""Pictures as numbers, by classic descriptors: which colours there are, and which way edges run where."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

SIDE = 64
"""pictures are scaled to so many pixels each way"""
LEVELS, CELLS, ORIENTATIONS = 3, 4, 8
"""of each of red, green and blue; cells each way; directions without sign"""
NAMES = (
    *(f"colour {i:02}" for i in range(LEVELS**3)),
    *(f"edges {i:03}" for i in range(CELLS * CELLS * ORIENTATIONS)),
)


def described(content: bytes) -> np.ndarray:
    """A colour histogram and a histogram of gradient orientations in 4 x 4 cells, weighted by strength; the names are ``NAMES``.

    Each is divided by its sum and rooted, so that products of two are Bhattacharyya coefficients (Arandjelovic and Zisserman,
    CVPR 2012); HOG after Dalal and Triggs, CVPR 2005. Raises ValueError for what is no picture.
    """
    pixels = np.asarray(opened(content).resize((SIDE, SIDE)), np.int64)
    level = pixels * LEVELS // 256
    colour = np.bincount((level @ [LEVELS**2, LEVELS, 1]).ravel(), minlength=LEVELS**3)
    down, right = np.gradient(pixels.mean(2))
    direction = (np.arctan2(down, right) % np.pi * ORIENTATIONS / np.pi).astype(np.int64) % ORIENTATIONS
    row, column = np.indices((SIDE, SIDE)) * CELLS // SIDE
    place = ((row * CELLS + column) * ORIENTATIONS + direction).ravel()
    edges = np.bincount(place, np.hypot(down, right).ravel(), minlength=CELLS * CELLS * ORIENTATIONS)
    return np.concatenate([np.sqrt(each / max(each.sum(), 1e-12)) for each in (colour, edges)])


def opened(content: bytes) -> Image.Image:
    """A file as a picture in red, green and blue; transparent parts are white. Raises ValueError for what is no picture."""
    try:
        with Image.open(io.BytesIO(content)) as file:
            if file.mode.startswith("I"):  # grey of 16 bits, which conversion would clip at 255
                file = Image.fromarray((np.asarray(file) >> 8).clip(0, 255).astype(np.uint8))
            picture = file.convert("RGBA")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # SyntaxError: a broken PNG
        raise ValueError(f"this is no picture that can be read ({error})") from error
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")

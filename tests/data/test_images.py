"""Pictures as numbers: by hand on plain and striped ones, and flags by country."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from gnnkg.data import side
from gnnkg.data.images import CELLS, LEVELS, NAMES, ORIENTATIONS, described
from gnnkg.data.pictures import pictures
from tests.data.test_text import write


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def plain(*colour: int) -> np.ndarray:
    return np.full((40, 80, len(colour)), colour)


def parts(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The colours, and the edges as (cells, orientations)."""
    numbers = described(content)
    assert len(numbers) == len(NAMES)
    return numbers[: LEVELS**3], numbers[LEVELS**3 :].reshape(CELLS * CELLS, ORIENTATIONS)


@pytest.mark.parametrize(
    ("colour", "place"),
    [((255, 0, 0), 18), ((0, 255, 0), 6), ((0, 0, 255), 2), ((0, 0, 0), 0), ((255, 255, 255), 26), ((9, 9, 9, 0), 26)],
)
def test_a_plain_picture_has_one_colour_and_no_edge(colour, place):
    """Place 9 r + 3 g + b of three levels; what is transparent is white."""
    colours, edges = parts(png(plain(*colour)))
    assert colours[place] == pytest.approx(1)
    assert np.delete(colours, place).sum() == 0
    assert edges.sum() == 0


def test_colours_count_by_their_area():
    pixels = plain(255, 0, 0)
    pixels[:, 60:] = (0, 0, 255)
    colours, _ = parts(png(pixels))
    assert colours[18] ** 2 == pytest.approx(0.75, abs=0.03)
    assert (colours**2).sum() == pytest.approx(1)


@pytest.mark.parametrize(("upright", "orientation"), [(True, 0), (False, ORIENTATIONS // 2)])
def test_stripes_have_edges_of_one_orientation_where_they_meet(upright, orientation):
    pixels = np.zeros((64, 64, 3))
    pixels[:, 40:] = 255  # brightness grows to the right, in the third column of cells
    _, edges = parts(png(pixels if upright else pixels.transpose(1, 0, 2)))
    strength = (edges**2).reshape(CELLS, CELLS, ORIENTATIONS)
    assert strength[:, :, orientation].sum() == pytest.approx(1)
    across = strength.sum((0, 2)) if upright else strength.sum((1, 2))
    assert across == pytest.approx([0, 0, 1, 0])


def test_flags_are_found_by_code_and_named_as_the_data_set_does(tmp_path):
    entries = [{"name": {"common": name}, "cca2": code} for name, code in [("Eswatini", "SZ"), ("New Zealand", "NZ")]]
    names = write(tmp_path / "countries.json", json.dumps(entries))
    archive = tmp_path / "flags.tar"
    with tarfile.open(archive, "w") as file:
        for code, colour in (("sz", (255, 0, 0)), ("nz", (0, 0, 255)), ("eu", (0, 255, 0))):
            content = png(plain(*colour))
            member = tarfile.TarInfo(f"small/{code}.png")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    found = side.flags([names, archive], {"swaziland": "Eswatini"})
    assert {name for name, _ in found} == {"swaziland", "new_zealand"}
    assert found["swaziland", "colour 18"] == [1.0]
    assert [each.name for each in pictures(archive)] == ["sz", "nz", "eu"]


def test_what_is_no_picture_is_refused():
    broken = png(np.random.default_rng(0).integers(0, 256, (300, 300, 3)))
    place = broken.index(b"IDAT", broken.index(b"IDAT") + 4)  # of the second chunk
    for content in (b"GIF, but not really", broken[:place] + b"\0\0\0\0" + broken[place + 4 :]):
        with pytest.raises(ValueError, match="this is no picture that can be read"):
            described(content)


def test_grey_of_16_bits_keeps_its_shades():
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), 2**15, np.uint16)).save(buffer, "png")
    colours, _ = parts(buffer.getvalue())
    assert colours[13] == pytest.approx(1)  # the middle of each colour's three levels

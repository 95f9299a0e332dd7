"""Image and mask files: what is 8-bit gray, RGB or index is read as it is stored, everything else is refused."""

import struct
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from defectlib.data.pixels import read_image, read_mask, threaded
from defectlib.errors import UserError
from tests.data.miniatures import labels, message, picture

RGB = picture("x")
GRAY = RGB[..., 0]
MASK = labels((1, 2))


def png(width, height, bits, colour, rows):
    """A PNG file from its header's fields and raw rows (each with its filter byte)."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_gray_becomes_rgb(tmp_path):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), np.dstack([GRAY] * 3))


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_colours_survive(tmp_path, name):
    Image.fromarray(RGB).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert np.array_equal(image, RGB)
    assert image.flags.writeable


def test_jpeg_is_read(tmp_path):
    flat = np.full((16, 16, 3), 77, np.uint8)
    Image.fromarray(flat).save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - 77).max() <= 1


def test_mask_values_are_class_ids(tmp_path):
    Image.fromarray(MASK).save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png", 2), MASK)
    told = message(read_mask, tmp_path / "a.png", 1)
    assert told == f"{tmp_path}/a.png: value 2 has no class; classes.json ends at 1: name it there or mend"


def saved(image, name="a.png", **options):
    file = BytesIO()
    image.save(file, format={"png": "PNG", "jpg": "JPEG", "tif": "TIFF", "mpo": "MPO"}[name.split(".")[1]], **options)
    return file.getvalue()


def orientation(number):
    exif = Image.Exif()
    exif[0x0112] = number
    return exif


def turned(name):
    return saved(Image.fromarray(RGB), name, exif=orientation(6))


FRAMES = {"save_all": True, "append_images": [Image.fromarray(RGB[::-1])]}
PALETTE = Image.fromarray(MASK).convert("P")
IMAGES = {
    "alpha": (saved(Image.fromarray(np.dstack([RGB, GRAY]))), "has an alpha channel that hides some of it"),
    "palette with alpha": (saved(PALETTE, transparency=0), "has an alpha channel that hides some of it"),
    "one bit": (saved(Image.fromarray(GRAY).convert("1")), "has one bit a pixel"),
    "16-bit gray": (saved(Image.fromarray(GRAY.astype(np.uint16) * 257)), "has more than 8 bits a channel"),
    "16-bit colour": (png(2, 1, 16, 2, b"\0" + bytes(range(12))), "has more than 8 bits a channel"),
    "animated": (saved(Image.fromarray(RGB), **FRAMES), "is animated or has several pages"),
    "pages": (saved(Image.fromarray(RGB), "a.tif", **FRAMES), "is animated or has several pages"),
    "float": (saved(Image.fromarray(GRAY.astype(np.float32)), "a.tif"), "has more than 8 bits a channel"),
    "cmyk": (saved(Image.fromarray(RGB).convert("CMYK"), "a.jpg"), "is a CMYK image"),
    "turned jpeg": (turned("a.jpg"), "is turned by its EXIF tag (orientation 6), its mask is not; turn its pixels"),
    "turned png": (turned("a.png"), "is turned by its EXIF tag (orientation 6), its mask is not; turn its pixels"),
    "turned tiff": (turned("a.tif"), "is turned by its EXIF tag (orientation 6), its mask is not; turn its pixels"),
    "pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "stands for a file that is"),
    "pointer of git-annex": (b"/annex/objects/SHA256E-s1--0.png\n", "stands for a file that is not here; fetch it"),
    "truncated png": (saved(Image.fromarray(RGB))[:-60], "damaged or not PNG or JPEG or BMP or TIFF ("),
    "truncated jpeg": (saved(Image.fromarray(RGB), "a.jpg")[:-60], "damaged or not PNG or JPEG or BMP or TIFF ("),
    "empty": (b"", "damaged or not PNG or JPEG or BMP or TIFF (cannot identify image file)"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "damaged or not PNG"),
    "bomb": (png(20_000, 20_000, 8, 0, b""), "has more than 89,478,485 pixels"),
}
MASKS = {
    "colour": (saved(Image.fromarray(RGB)), "is a colour image (RGB)"),
    "palette": (saved(PALETTE), "has a palette"),
    "16-bit": (saved(Image.fromarray(MASK.astype(np.uint16))), "has more than 8 bits a channel"),
    "animated": (saved(Image.fromarray(MASK), save_all=True, append_images=[Image.fromarray(GRAY)]), "is animated"),
    "one bit": (png(8, 1, 1, 0, b"\0\xaa"), "has one bit a pixel"),
    "two bits": (png(4, 1, 2, 0, b"\0\x1b"), "has fewer than 8 bits a pixel"),
    "four bits": (png(2, 1, 4, 0, b"\0\x12"), "has fewer than 8 bits a pixel"),
    "truncated": (saved(Image.fromarray(MASK))[:-25], "damaged or not PNG ("),
    "jpeg": (saved(Image.fromarray(MASK), "a.jpg"), "damaged or not PNG (cannot identify image file)"),
}


@pytest.mark.parametrize("case", IMAGES)
def test_images_that_are_refused(tmp_path, case):
    content, fault = IMAGES[case]
    (tmp_path / "a.png").write_bytes(content)
    told = message(read_image, tmp_path / "a.png")
    assert told.startswith(f"{tmp_path}/a.png: {fault}")
    assert told.endswith("; replace it by an 8-bit gray or RGB image") or ";" in fault or "pointer" in case
    assert "\n" not in told


def palette(image):
    """``image`` with a palette as programs write it: of the values that there are, in any order."""
    values, indices = np.unique(np.asarray(image)[..., 0], return_inverse=True)
    made = Image.fromarray(indices.astype(np.uint8).reshape(image.shape[:2]), "P")
    made.putpalette(np.repeat(values, 3).astype(np.uint8).tobytes())
    return made


@pytest.mark.parametrize(
    ("name", "content"),
    {
        "a.png": saved(Image.fromarray(np.dstack([RGB, np.full_like(GRAY, 255)]))),
        "b.png": saved(Image.fromarray(GRAY).convert("LA")),
        "c.png": saved(palette(GRAY[:, :, None])),
        "d.tif": saved(Image.fromarray(RGB), "a.tif", exif=orientation(0)),
        "e.jpg": saved(Image.fromarray(np.full_like(RGB, 99)), "a.mpo", **FRAMES),
    }.items(),
)
def test_what_loses_nothing_is_read(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    gray, flat = np.dstack([GRAY] * 3), np.full_like(RGB, 99)
    wanted = {"a.png": RGB, "b.png": gray, "c.png": gray, "d.tif": RGB, "e.jpg": flat}[name]
    assert np.array_equal(read_image(tmp_path / name), wanted)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_an_image_is_turned_on_demand(tmp_path, name):
    image = np.kron(RGB[:2, :3] // 2, np.ones((8, 8, 1), np.uint8))
    (tmp_path / name).write_bytes(saved(Image.fromarray(image), name, exif=orientation(6)))
    assert np.abs(read_image(tmp_path / name, turn=True) - np.rot90(image, -1).astype(int)).mean() < 9


@pytest.mark.parametrize("case", MASKS)
def test_masks_that_are_refused(tmp_path, case):
    content, fault = MASKS[case]
    (tmp_path / "a.png").write_bytes(content)
    told = message(read_mask, tmp_path / "a.png")
    assert told.startswith(f"{tmp_path}/a.png: {fault}")
    assert told.endswith("; replace it by an 8-bit PNG of one channel whose values are class ids") or "; save" in told


def test_a_small_bomb_is_refused_before_it_is_decoded(tmp_path):
    (tmp_path / "a.png").write_bytes(png(10_000, 10_000, 8, 0, b""))
    with pytest.warns(Image.DecompressionBombWarning):
        told = message(read_image, tmp_path / "a.png")
    assert "has more than 89,478,485 pixels" in told


def test_a_missing_file_is_named(tmp_path):
    assert message(read_image, tmp_path / "a.png").startswith(f"{tmp_path}/a.png: damaged or not PNG")
    assert "(No such file or directory)" in message(read_image, tmp_path / "a.png")


def test_threads_keep_the_order_and_pass_errors_on():
    assert list(threaded(lambda number: number * number, range(50), "squaring")) == [n * n for n in range(50)]
    with pytest.raises(ZeroDivisionError):
        list(threaded(lambda number: 1 // number, range(5), "dividing"))


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_bit_that_turned_is_told_or_changes_no_pixel(tmp_path, read):
    """A turned bit of compressed pixels is often other pixels that decode well; the file's checksums tell."""
    path = tmp_path / "a.png"
    pixels = np.zeros((16, 16), np.uint8)
    pixels[4:9, 3:12], pixels[10:13, 2:5] = 1, 2
    Image.fromarray(pixels).save(path)
    content, expected = path.read_bytes(), read(path)
    for bit in range(8 * len(content)):
        turned = bytearray(content)
        turned[bit // 8] ^= 1 << bit % 8
        path.write_bytes(turned)
        with suppress(UserError):
            assert (read(path) == expected).all(), bit

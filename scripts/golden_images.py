#!/usr/bin/env python3
"""Makes tests/golden/images: small synthetic images of every kind that is read, and what Pillow makes of them.

Run it only to add a case; the tests need nothing but its output. Needs the pip packages pillow (13.0) and numpy.

usage: scripts/golden_images.py

The folder gets the images, for each of them the decoded pixels (FILE.decoded.png) and what a backbone is fed with
(FILE.prepared-N.png), and cases.json, which says what belongs together:

  decoded   {file, expected, tolerance}: upright RGB; tolerance in grey levels
  prepared  {file, expected, size, shorter_side, resize, channels}
  refused   {file, says}: no image may come out, and the message has to hold these words
"""

import io
import json
import pathlib
import shutil
import struct
import zlib

import numpy as np
from PIL import Image, ImageDraw, ImageOps

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "images"
CASES = {"decoded": [], "prepared": [], "refused": []}


def scene(width, height, seed=0):
    """Everything that shows a wrong decoder or resizer: ramps, noise, thin lines, strokes like writing, flat patches."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([255 * x / max(width - 1, 1), 255 * y / max(height - 1, 1), 128 + 127 * np.sin(x / 3 + y / 5)], -1)
    patch = np.s_[height // 2 :, : width // 3]
    pixels[patch] = random.integers(0, 256, pixels[patch].shape)
    pixels[: height // 4, width // 2 :] = [250, 20, 60]
    image = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for step in range(2, width, 7):
        draw.line([(step, height // 3), (step + 4, height // 2)], fill=(0, 0, 0) if step % 2 else (255, 255, 255))
    draw.rectangle([width // 2, height // 2, width - 1, height - 1], outline=(0, 255, 0))
    return image


def upright_rgb(file):
    """What decoding gives by the rules of the module `decode`."""
    image = Image.open(file)
    if image.mode.startswith("I;16"):
        # The one place where the rule is not Pillow's, which clips at 255.
        grey = (np.array(image).astype(np.uint16) >> 8).astype(np.uint8)
        image = Image.fromarray(grey)
    return ImageOps.exif_transpose(image).convert("RGB")


def prepared(image, size, shorter_side, resize, channels):
    """torchvision's Grayscale, Resize and CenterCrop on a Pillow image."""
    if channels == 1:
        image = image.convert("L")
    if resize == "squash":
        return image.resize((size, size), Image.Resampling.BILINEAR)
    width, height = image.size
    if width <= height:
        scaled = shorter_side, int(shorter_side * height / width)
    else:
        scaled = int(shorter_side * width / height), shorter_side
    image = image.resize(scaled, Image.Resampling.BILINEAR)
    # Each axis is padded if it is too short, and cut if it is too long.
    left, top = ((size - side) // 2 if side < size else -int(round((side - size) / 2.0)) for side in scaled)
    square = Image.new(image.mode, (size, size))
    square.paste(image, (left, top))
    return square


def add_prepared(name, image, *geometries):
    for number, (size, shorter_side, resize, channels) in enumerate(geometries):
        expected = f"{name}.prepared-{number}.png"
        prepared(image, size, shorter_side, resize, channels).save(OUT / expected, optimize=True)
        geometry = dict(size=size, shorter_side=shorter_side, resize=resize, channels=channels)
        CASES["prepared"].append({"file": name, "expected": expected, **geometry})


def add(name, content, tolerance=0, geometries=((24, 28, "crop", 3),)):
    """Adds a file: `content` is its bytes, or an image and how to save it."""
    if isinstance(content, bytes):
        (OUT / name).write_bytes(content)
    else:
        image, options = content
        image.save(OUT / name, **options)
    image = upright_rgb(OUT / name)
    image.save(OUT / f"{name}.decoded.png", optimize=True)
    CASES["decoded"].append({"file": name, "expected": f"{name}.decoded.png", "tolerance": tolerance})
    add_prepared(name, image, *geometries)


def refuse(name, content, says):
    (OUT / name).write_bytes(content)
    CASES["refused"].append({"file": name, "says": says})


def encoded(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def png(width, height, depth, kind, rows):
    """A PNG written by hand, for the kinds that Pillow does not write; rows are bytes without filter bytes."""
    chunk = lambda tag, data: struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def jpegs():
    image = scene(49, 31)
    for name, sampling in [("444", 0), ("422", 1), ("420", 2)]:
        add(f"jpeg-{name}.jpg", (image, dict(quality=85, subsampling=sampling)))
    add("jpeg-progressive.jpg", (image, dict(quality=70, progressive=True)))
    add("jpeg-restarts.jpg", (image, dict(quality=60, restart_marker_blocks=2)))
    add("jpeg-rgb.jpg", (image, dict(quality=90, keep_rgb=True)))
    add("jpeg-grey.jpg", (image.convert("L"), dict(quality=85)))
    add("jpeg-1x1.jpg", (image.crop((0, 0, 1, 1)), dict(quality=85)))
    # Pillow converts RGB to CMYK without black; here is some.
    inks = np.array(image.convert("CMYK"))
    inks[..., 3] = np.arange(inks.shape[1]) * 3
    cmyk = Image.fromarray(inks, "CMYK")
    add("jpeg-cmyk.jpg", (cmyk, dict(quality=85)))
    adobe = encoded(cmyk, format="JPEG", quality=85)
    marker = adobe.index(b"Adobe")
    add("jpeg-ycck.jpg", adobe[: marker + 11] + b"\2" + adobe[marker + 12 :])
    add("jpeg-cmyk-unmarked.jpg", adobe[: marker - 4] + adobe[marker + 12 :])
    for orientation in range(1, 9):
        add(f"jpeg-exif-{orientation}.jpg", (scene(35, 20), dict(quality=80, exif=oriented(orientation))))
    plain = encoded(image, format="JPEG", quality=85)
    add("jpeg-stray-bytes.jpg", plain[:-2] + b"\1\2\3" + plain[-2:] + b"trailing")
    refuse("jpeg-truncated.jpg", plain[: len(plain) * 2 // 3], "truncated")
    refuse("jpeg-no-end.jpg", plain[:-2], "truncated")
    refuse("jpeg-header-only.jpg", plain[:100], "truncated")


def others():
    image = scene(49, 31)
    grey = image.convert("L")
    rgba = image.copy()
    rgba.putalpha(Image.fromarray(np.tile(np.arange(49, dtype=np.uint8) * 5, (31, 1))))
    palette = image.quantize(37)
    bilevel = grey.point(lambda level: 255 if level > 100 else 0, "1")
    deep = np.random.default_rng(1).integers(0, 65536, (31, 49, 3)).astype(">u2")

    add("png-rgb.png", (image, {}))
    add("png-rgba.png", (rgba, {}))
    add("png-grey.png", (grey, {}))
    add("png-grey-alpha.png", (rgba.convert("LA"), {}))
    add("png-palette.png", (palette, {}))
    add("png-palette-transparent.png", (palette, dict(transparency=3)))
    add("png-palette-4bit.png", (image.quantize(11), dict(bits=4)))
    add("png-1bit.png", (bilevel, {}))
    add("png-grey-2bit.png", png(8, 3, 2, 0, [b"\x1b\xe4", b"\x00\xff", b"\x93\x4e"]))
    add("png-grey-16bit.png", png(49, 31, 16, 0, [row[:, 0].tobytes() for row in deep]))
    add("png-rgb-16bit.png", png(49, 31, 16, 2, [row.tobytes() for row in deep]))
    add("png-exif-6.png", (image, dict(exif=oriented(6))))

    add("gif.gif", (palette, {}))
    add("gif-transparent.gif", (palette, dict(transparency=3)))
    add("gif-animated.gif", (palette, dict(save_all=True, append_images=[scene(49, 31, 2).quantize(50)], duration=50)))

    add("bmp.bmp", (image, {}))
    add("bmp-palette.bmp", (palette, {}))
    add("bmp-grey.bmp", (grey, {}))
    add("bmp-1bit.bmp", (bilevel, {}))
    add("bmp-alpha.bmp", (rgba, {}))

    add("tiff.tif", (image, {}))
    add("tiff-lzw.tif", (image, dict(compression="tiff_lzw")))
    add("tiff-deflate-pages.tif", (image, dict(compression="tiff_adobe_deflate", save_all=True, append_images=[grey])))
    add("tiff-grey.tif", (grey, {}))
    add("tiff-alpha.tif", (rgba, {}))
    add("tiff-1bit.tif", (bilevel, {}))
    add("tiff-grey-16bit.tif", (Image.fromarray(deep[..., 0].astype(np.uint16)), {}))
    add("tiff-exif-8.tif", (image, dict(exif=oriented(8))))
    add("tiff-cmyk.tif", (image.convert("CMYK"), {}), tolerance=1)

    add("webp.webp", (image, dict(quality=80)))
    add("webp-lossless.webp", (image, dict(lossless=True)))
    add("webp-alpha.webp", (rgba, dict(lossless=True, exact=True)))
    add("webp-lossy-alpha.webp", (rgba, dict(quality=80)))
    add("webp-animated.webp", (image, dict(lossless=True, save_all=True, append_images=[scene(49, 31, 2)], duration=50)))
    add("webp-exif-6.webp", (image, dict(lossless=True, exif=oriented(6))))

    refuse("tiff-palette.tif", encoded(palette, format="TIFF"), "cannot be read")
    refuse("tiff-float.tif", encoded(Image.fromarray(np.ones((3, 4), np.float32)), format="TIFF"), "cannot be read")
    whole = encoded(image, format="PNG")
    refuse("png-truncated.png", whole[: len(whole) // 2], "truncated")
    refuse("png-bomb.png", png(20000, 20000, 8, 2, []), "20000×20000 pixels are too many")
    refuse("empty.jpg", b"", "empty")
    refuse("text.jpg", b"<!DOCTYPE html><title>404 Not Found</title>", "not an image")


def shapes():
    geometries = [(64, 73, "crop", 3), (50, 50, "squash", 3), (32, 37, "crop", 1), (80, 60, "crop", 3)]
    for width, height in [(97, 61), (61, 97), (201, 150), (131, 400), (64, 73), (30, 20), (9, 120), (3, 2)]:
        image = scene(width, height)
        image.save(OUT / f"shape-{width}x{height}.png", optimize=True)
        add_prepared(f"shape-{width}x{height}.png", image, *geometries)
    scene(500, 375).save(OUT / "shape-photo.jpg", quality=80, subsampling=2)
    add_prepared("shape-photo.jpg", upright_rgb(OUT / "shape-photo.jpg"), (224, 256, "crop", 3), (96, 110, "crop", 1))


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    jpegs()
    others()
    shapes()
    (OUT / "cases.json").write_text(json.dumps(CASES, indent=1) + "\n")
    print(f"{OUT}: {sum(file.stat().st_size for file in OUT.iterdir())} bytes in {len(list(OUT.iterdir()))} files")

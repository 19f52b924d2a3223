#!/usr/bin/env python3
"""Makes tests/golden/augment.json: what Pillow, SciPy and Python's colorsys make of a small image.

Run it only to add a case; the tests need nothing but its output. Needs the pip packages pillow (13.0), numpy and scipy.

usage: scripts/golden_augment.py

  image    {width, height, pixels}: RGB noise, smoothed
  affine   {size, start, matrix, mirrored, pixels}: the square of `size` pixels that begins at `start`, turned or sheared about its
           centre; by Pillow where the square stays inside, by SciPy (mirrored borders) where it does not
  warp     {size, start, cells, nodes, pixels}: displaced by a cubic B-spline through (cells + 3)² nodes
  colour   {change, value, pixels}: Pillow's ImageEnhance, and hues turned by colorsys
"""

import colorsys
import json
import math
import pathlib

import numpy as np
from PIL import Image, ImageEnhance
from scipy import ndimage

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "augment.json"
WIDTH, HEIGHT, SIZE = 40, 30, 16


def picture():
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(float)
    smooth = ndimage.gaussian_filter(noise, (1, 1, 0))
    return np.clip((smooth - 128) * 2.5 + 128, 0, 255).round().astype(np.uint8)


def places(start, matrix, shift=(0, 0)):
    """Where the pixels of the square come from, in pixels of the image counted from their centres: rows, then columns."""
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    (a, b), (c, d) = matrix
    columns = start[0] + SIZE / 2 + a * x + b * y + shift[0] - 0.5
    rows = start[1] + SIZE / 2 + c * x + d * y + shift[1] - 0.5
    return rows, columns


def by_scipy(image, at):
    channels = [ndimage.map_coordinates(image[..., c].astype(float), at, order=1, mode="mirror") for c in range(3)]
    return np.stack(channels, -1)


def by_pillow(image, start, matrix):
    (a, b), (c, d) = matrix
    half = SIZE / 2
    offset = (start[0] + half - a * half - b * half, start[1] + half - c * half - d * half)
    coefficients = (a, b, offset[0], c, d, offset[1])
    return np.array(
        Image.fromarray(image).transform((SIZE, SIZE), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    )


def rotation(degrees):
    """As Image.rotate: counterclockwise."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [[cosine, -sine], [sine, cosine]]


def levels(pixels):
    return np.clip(np.asarray(pixels, float).round(), 0, 255).astype(int).ravel().tolist()


def affine(image):
    sheared = [[1, math.tan(math.radians(12))], [math.tan(math.radians(-7)), 1]]
    cases = []
    for start, degrees, shear in [((12, 7), 20, None), ((12, 7), -35, None), ((12, 7), 0, sheared), ((-3, -2), 50, None), ((30, 20), 200, None)]:
        matrix = shear or rotation(degrees)
        inside = start == (12, 7)
        pixels = by_pillow(image, start, matrix) if inside else by_scipy(image, places(start, matrix))
        case = {"size": SIZE, "start": start, "degrees": degrees, "shear": [12, -7] if shear else [0, 0]}
        cases.append({**case, "pixels": levels(pixels)})
    return cases


def warp(image):
    cells, start = 3, (20, 10)
    random = np.random.default_rng(1)
    nodes = random.uniform(-0.15, 0.15, (cells + 3, cells + 3, 2)).round(4)
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE * cells + 1
    shift = [ndimage.map_coordinates(nodes[..., axis], [y, x], order=3, prefilter=False) * SIZE for axis in range(2)]
    pixels = by_scipy(image, places(start, [[1, 0], [0, 1]], shift))
    case = {"size": SIZE, "start": start, "cells": cells, "nodes": nodes.reshape(-1, 2).tolist()}
    return [{**case, "pixels": levels(pixels)}]


def turned(image, turns):
    def pixel(rgb):
        hue, saturation, value = colorsys.rgb_to_hsv(*(rgb / 255))
        return np.array(colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)) * 255

    return np.apply_along_axis(pixel, -1, image.astype(float))


def colour(image):
    picture = Image.fromarray(image)
    cases = []
    for change, enhance, values in [
        ("brightness", ImageEnhance.Brightness, [0.6, 1.4]),
        ("contrast", ImageEnhance.Contrast, [0.5, 1.7]),
        ("saturation", ImageEnhance.Color, [0, 0.5, 1.8]),
    ]:
        for value in values:
            cases.append({"change": change, "value": value, "pixels": levels(enhance(picture).enhance(value))})
    for value in [-0.2, 0.07, 0.5]:
        cases.append({"change": "hue", "value": value, "pixels": levels(turned(image, value))})
    return cases


def main():
    image = picture()
    small = image[:8, :10]
    golden = {
        "image": {"width": WIDTH, "height": HEIGHT, "pixels": levels(image)},
        "affine": affine(image),
        "warp": warp(image),
        "small": levels(small),
        "colour": colour(small),
    }
    OUT.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(f"{OUT}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()

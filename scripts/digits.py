#!/usr/bin/env python3
"""Writes the handwritten digits that scikit-learn carries as an .npz file for `headstart import`: 1797 images of 8 x 8 grey
values, ten classes, every fourth row for testing (the rows of tests/golden/heads/digits.safetensors).

Needs scikit-learn and numpy from pip.

usage: scripts/digits.py [OUT.npz]        (default features/digits.npz)
"""

import pathlib
import sys

import numpy as np
from sklearn.datasets import load_digits


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "features" / "digits.npz"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    x, y = load_digits(return_X_y=True)
    split = np.where(np.arange(len(y)) % 4 == 3, "test", "train")
    np.savez(out, X=x.astype(np.float32), y=y, split=split)
    print(f"{out}: {len(y)} digits; next: headstart import {out} -o {out.with_suffix('.h5')}")


if __name__ == "__main__":
    main()

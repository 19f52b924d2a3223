#!/usr/bin/env python3
"""Features of images by torchvision's ResNet-18, to hold those of `headstart extract` against.

Needs torch, torchvision, safetensors, Pillow and numpy from pip.

usage: scripts/torchvision_features.py WEIGHTS.safetensors IMAGES.txt OUT.npz LAYER...

IMAGES.txt names one image a line. For every layer a file OUT-LAYER.npz is written, which `headstart import` reads: X holds
the mean over the pixels of each image's map, y is -1.
"""

import pathlib
import sys

import numpy as np
import torch
import torchvision
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torchvision.models.feature_extraction import create_feature_extractor


def main():
    weights, images, out, *layers = sys.argv[1:]
    model = torchvision.models.resnet18()
    model.load_state_dict(load_file(weights), strict=False)
    missing = set(dict(model.named_parameters())) - set(load_file(weights))
    assert not missing, missing
    model = create_feature_extractor(model.eval(), return_nodes={layer: layer for layer in layers})
    transform = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    rows = {layer: [] for layer in layers}
    with torch.inference_mode():
        for path in pathlib.Path(images).read_text(encoding="utf-8").splitlines():
            image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            values = model(transform(image)[None])
            for layer in layers:
                rows[layer].append(values[layer][0].mean(dim=(1, 2)).numpy())
    out = pathlib.Path(out)
    for layer in layers:
        np.savez(out.with_name(f"{out.stem}-{layer}.npz"), X=np.stack(rows[layer]), y=np.full(len(rows[layer]), -1))


if __name__ == "__main__":
    main()

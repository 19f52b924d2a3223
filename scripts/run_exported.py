#!/usr/bin/env python3
"""Runs a head that `headstart export` wrote: the .onnx with ONNX Runtime, the .npz with NumPy alone, and prints both as JSON.

Needs onnxruntime and numpy from pip.

usage: scripts/run_exported.py HEAD.onnx HEAD.npz VECTORS.npz

VECTORS.npz holds X (rows x width), as for `headstart import`.
"""

import json
import sys

import numpy as np
import onnxruntime


def calibrated(scores, calibration):
    """Probabilities by the map in the head file, none without."""
    if calibration is None:
        return None
    if calibration["method"] == "temperature":
        logits = scores / calibration["temperature"]
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (shares / shares.sum(axis=1, keepdims=True)).tolist()
    two = scores.shape[1] == 2
    columns = scores[:, 1:] - scores[:, :1] if two else scores
    if calibration["method"] == "platt":
        shares = 1 / (1 + np.exp(-(columns * calibration["slope"] + calibration["intercept"])))
    else:
        curves = zip(columns.T, calibration["curves"])
        shares = np.stack([np.interp(column, curve["score"], curve["probability"]) for column, curve in curves], axis=1)
    if two:
        return np.hstack([1 - shares, shares]).tolist()
    total = shares.sum(axis=1, keepdims=True)
    return np.where(total > 0, shares / np.where(total > 0, total, 1), 1 / shares.shape[1]).tolist()


def main():
    onnx, npz, vectors = sys.argv[1:]
    features = np.load(vectors)["X"].astype(np.float32)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(None, {"features": features})))
    # The batch is of any size.
    one = dict(zip(names, session.run(None, {"features": features[:1]})))
    head = np.load(npz, allow_pickle=False)
    wide = features.astype(np.float64)
    if head["normalize"].item() == "l2":
        norm = np.linalg.norm(wide, axis=1, keepdims=True)
        wide = np.divide(wide, norm, out=np.zeros_like(wide), where=norm > 0)
    scores = wide @ head["weight"].T + head["bias"]
    printed = {
        "shapes": {value.name: value.shape for value in session.get_inputs() + session.get_outputs()},
        "types": {value.name: value.type for value in session.get_inputs() + session.get_outputs()},
        "metadata": json.loads(session.get_modelmeta().custom_metadata_map["headstart_head"]),
        "onnx": {name: values.tolist() for name, values in outputs.items()},
        "onnx_one_row": {name: values.tolist() for name, values in one.items()},
        "npz": {
            "scores": scores.tolist(),
            "probabilities": calibrated(scores, json.loads(head["calibration"].item())),
            "classes": head["classes"].tolist(),
            "kind": head["kind"].item(),
            "normalize": head["normalize"].item(),
            "layer": head["layer"].item(),
            "provenance": json.loads(head["provenance"].item()),
        },
    }
    print(json.dumps(printed))


if __name__ == "__main__":
    main()

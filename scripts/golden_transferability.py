#!/usr/bin/env python3
"""Makes tests/golden/transferability.json: LogME, the shrunk H-score and LEEP as their formulas say, by other ways than headstart's.

Needs numpy, scipy and scikit-learn from pip. The tests of headstart-trainer read the file, so they need no Python; run this again
only to change what is compared:

    python3 scripts/golden_transferability.py

LogME is the density of the targets under their marginal normal distribution, maximised over both precisions by scipy; the H-score
takes scikit-learn's Ledoit-Wolf covariance and inverts it; LEEP sums over source classes one by one.
"""

import json
import pathlib

import numpy as np
import scipy.optimize
import scipy.stats
from sklearn.covariance import LedoitWolf

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "transferability.json"


def log_me(x, y):
    scores = []
    for label in np.unique(y):
        target = (y == label).astype(float)

        def loss(logs):
            alpha, beta = np.exp(logs)
            covariance = np.eye(len(x)) / beta + x @ x.T / alpha
            return -scipy.stats.multivariate_normal.logpdf(target, cov=covariance, allow_singular=False) / len(x)

        starts = [(a, b) for a in (-4.0, 0.0, 4.0, 8.0) for b in (0.0, 4.0)]
        options = {"xatol": 1e-10, "fatol": 1e-14, "maxiter": 4000}
        scores.append(-min(scipy.optimize.minimize(loss, s, method="Nelder-Mead", options=options).fun for s in starts))
    return float(np.mean(scores))


def h_score(x, y):
    fitted = LedoitWolf().fit(x)
    means = np.stack([x[y == label].mean(0) for label in y])
    return float((1 - fitted.shrinkage_) * np.trace(np.linalg.solve(fitted.covariance_, np.cov(means, rowvar=False, bias=True))))


def leep(theta, y, classes):
    joint = np.array([[theta[y == label, z].sum() / len(y) for z in range(theta.shape[1])] for label in range(classes)])
    given = joint / joint.sum(0)
    return float(np.mean([np.log(sum(given[label, z] * row[z] for z in range(len(row)))) for row, label in zip(theta, y)]))


def main():
    rng = np.random.default_rng(5)
    cases = []
    for rows, width, classes, apart in [(40, 6, 2, 1.0), (60, 12, 3, 0.5), (30, 50, 3, 0.7), (48, 20, 4, 1.0)]:
        y = np.arange(rows) % classes
        y[:3] = 0  # so that classes are not of one size
        x = rng.normal(size=(classes, width))[y] * apart + rng.normal(size=(rows, width)) * np.geomspace(0.5, 2, width)
        x = np.maximum(x, 0).round(4).astype(np.float32)
        logits = (rng.normal(size=(rows, 7)) + 2.0 * (np.arange(7) == y[:, None])).round(4)
        theta = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        wide = x.astype(float)
        scores = {"log_me": log_me(wide, y), "h_score": h_score(wide, y), "leep": leep(theta, y, classes)}
        cases.append({"x": [[float(str(v)) for v in row] for row in x], "y": y.tolist(), "classes": classes, "source_logits": logits.tolist(), **scores})
        print(rows, width, classes, scores)
    OUT.write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

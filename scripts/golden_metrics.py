#!/usr/bin/env python3
"""Makes tests/golden/metrics.json: scores, labels, and what scikit-learn's metrics say of them.

Needs numpy and scikit-learn from pip. The tests of headstart-trainer read the file, so they need no Python; run this again
only to change what is compared:

    python3 scripts/golden_metrics.py

`scores` has one column for each class, of which the largest wins; their softmax is the probabilities. Many scores are equal,
so that ties count. The AUC of several classes is that of each column against the rest, averaged: `roc_auc_score` with
`multi_class="ovr"` says the same but insists on probabilities, so it is asked where each row of scores sums to 1.
"""

import json
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "metrics.json"


def case(name, rows, classes, seed, shares=None, present=None, probabilities=False):
    rng = np.random.default_rng(seed)
    truth = rng.choice(present or classes, size=rows, p=shares)
    scores = rng.normal(size=(rows, classes)) + 1.2 * (truth[:, None] == np.arange(classes))
    if classes == 2:
        scores[:, 0] = -scores[:, 1]
    if probabilities:
        # Shares of 64, exact in binary, so that ties stay ties.
        scores = np.array([rng.multinomial(64, np.exp(row) / np.exp(row).sum()) for row in scores]) / 64
    else:
        scores = np.round(2 * scores) / 2
    softmax = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    predicted = scores.argmax(axis=1)
    columns = [c for c in range(classes) if 0 < (truth == c).sum() < rows]
    if classes == 2:
        auc = roc_auc_score(truth, scores[:, 1])
    elif probabilities:
        auc = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    else:
        one_hot = truth[:, None] == np.array(columns)
        auc = roc_auc_score(one_hot, scores[:, columns], average="macro")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        balanced = balanced_accuracy_score(truth, predicted)
    return {
        "name": name,
        "scores": scores.tolist(),
        "truth": truth.tolist(),
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced": float(balanced),
        "logloss": float(log_loss(truth, softmax, labels=np.arange(classes))),
        "auc": float(auc),
    }


def main():
    cases = [
        case("two classes", 40, 2, 1),
        case("two unequal classes", 60, 2, 2, shares=[0.9, 0.1]),
        case("five classes", 60, 5, 3),
        case("four unequal classes, shares", 50, 4, 4, shares=[0.5, 0.3, 0.12, 0.08], probabilities=True),
        case("a class without rows", 30, 4, 5, present=[0, 1, 3]),
    ]
    OUT.write_text(json.dumps({"scikit_learn": sklearn.__version__, "cases": cases}) + "\n")
    for one in cases:
        print({key: value for key, value in one.items() if key not in ("scores", "truth")})


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes tests/golden/calibration.json: scores with the probabilities that scikit-learn's calibration makes of them.

Needs numpy and scikit-learn (1.8 or newer, for temperatures) from pip. The tests of headstart-trainer read the file, so they
need no Python; run this again only to change what is compared:

    python3 scripts/golden_calibration.py

For each case: `scores` (n x k, two columns for two classes), `labels`, `queries` (scores again, some beyond all others), and for
each method what `CalibratedClassifierCV` fitted and the probabilities that it gives the queries.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "calibration.json"
NAMES = {"platt": "sigmoid", "isotonic": "isotonic", "temperature": "temperature"}


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose features are its scores."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x):
        return x[:, 0] if x.shape[1] == 1 else x

    def predict(self, x):
        return (x[:, 0] > 0).astype(int) if x.shape[1] == 1 else x.argmax(axis=1)


def cases():
    rng = np.random.default_rng(5)
    y = np.arange(70) % 2
    yield "binary", (rng.normal(size=70) + 1.2 * (2 * y - 1))[:, None], y
    yield "binary, large and off 0", (250 * rng.normal(size=70) + 400 * y + 900)[:, None], y
    y = (rng.random(90) < 0.2).astype(int)
    yield "unequal classes, equal scores", np.round(2 * (rng.normal(size=90) + y))[:, None], y
    y = np.arange(40) % 2
    yield "told apart without a mistake", (np.linspace(0.5, 2, 40) * (2 * y - 1))[:, None], y
    y = np.arange(96) % 4
    scores = rng.normal(size=(96, 4))
    scores[np.arange(96), y] += 1.5
    yield "four classes", np.round(scores, 3), y
    yield "four classes, scores too large", 6 * scores, y


def main():
    golden = {"scikit_learn": sklearn.__version__, "cases": []}
    for name, scores, y in cases():
        top = np.abs(scores).max()
        queries = np.vstack([scores[:12], scores[12:18] * 1.1, np.full((1, scores.shape[1]), 3 * top)])
        queries = np.vstack([queries, -queries[-1:]])
        # Two columns whose difference is the score.
        both = (lambda s: np.hstack([-s / 2, s / 2])) if scores.shape[1] == 1 else (lambda s: s)
        case = {"name": name, "scores": both(scores).tolist(), "labels": y.tolist(), "queries": both(queries).tolist()}
        for method, theirs in NAMES.items():
            if method == "temperature" and name.startswith("told apart"):
                continue  # There is no best temperature: scikit-learn's is the end of its search.
            model = CalibratedClassifierCV(FrozenEstimator(Given().fit(scores, y)), method=theirs, ensemble=False)
            model.fit(scores, y)
            calibrators = model.calibrated_classifiers_[0].calibrators
            case[method] = {"probabilities": model.predict_proba(queries).tolist()}
            if method == "platt":
                # Theirs is 1 / (1 + exp(a f + b)).
                case[method]["slope"] = [-float(c.a_) for c in calibrators]
                case[method]["intercept"] = [-float(c.b_) for c in calibrators]
            if method == "isotonic":
                case[method]["score"] = [c.X_thresholds_.tolist() for c in calibrators]
                case[method]["probability"] = [c.y_thresholds_.tolist() for c in calibrators]
            if method == "temperature":
                # Of two classes theirs are the logits (-f, f), ours (-f/2, f/2).
                case[method]["temperature"] = float(1 / calibrators[0].beta_) * (0.5 if scores.shape[1] == 1 else 1)
        golden["cases"].append(case)
        print(name, case["platt"]["slope"], case.get("temperature", {}).get("temperature"))
    OUT.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Makes tests/golden/neighbors.json: what scikit-learn's KNeighborsClassifier makes of small sets without equal distances.

Needs numpy and scikit-learn from pip. The tests of headstart-trainer read the file, so they need no Python; run this again only
to change what is compared:

    python3 scripts/golden_neighbors.py

Each case has `x`, `y`, `queries`, and runs: metric, whether features are standardised, k, the shares of the votes, and the
classes, with -1 where several classes have as many votes (scikit-learn takes the first then, headstart the nearest).
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "neighbors.json"


def main():
    rng = np.random.default_rng(11)
    golden = {"scikit_learn": sklearn.__version__, "cases": []}
    for rows, width, classes in [(60, 5, 2), (80, 40, 4)]:
        y = np.arange(rows) % classes
        x = rng.normal(size=(rows, width)) * np.geomspace(0.1, 10, width) + 3
        x[np.arange(rows), y] += 1.0
        x = np.round(x, 4).astype(np.float32)
        queries = np.round(rng.normal(size=(12, width)) * np.geomspace(0.1, 10, width) + 3, 4).astype(np.float32)
        case = {"x": x.tolist(), "y": y.tolist(), "queries": queries.tolist(), "runs": []}
        for metric in ["euclidean", "cosine"]:
            for standardize in [False, True]:
                a, b = x.astype(np.float64), queries.astype(np.float64)
                if standardize:
                    scaler = StandardScaler().fit(a)
                    a, b = scaler.transform(a), scaler.transform(b)
                for k in [1, 3, 4, 11, 21]:
                    model = KNeighborsClassifier(n_neighbors=k, metric=metric, algorithm="brute").fit(a, y)
                    shares = model.predict_proba(b)
                    tied = (shares == shares.max(axis=1, keepdims=True)).sum(axis=1) > 1
                    predicted = np.where(tied, -1, model.predict(b))
                    run = {"metric": metric, "standardize": standardize, "k": k}
                    case["runs"].append(run | {"shares": shares.tolist(), "predicted": predicted.tolist()})
        golden["cases"].append(case)
    # Numbers of f32, written as short as they can be told apart.
    text = json.dumps(golden, default=float)
    OUT.write_text(json.dumps(json.loads(text, parse_float=lambda t: float(f"{float(t):.9g}"))) + "\n")
    print(OUT, OUT.stat().st_size)


if __name__ == "__main__":
    main()

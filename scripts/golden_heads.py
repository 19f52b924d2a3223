#!/usr/bin/env python3
"""Makes tests/golden/heads/*.safetensors: small training sets with the optimum that scikit-learn finds on them.

Needs numpy, scikit-learn and safetensors from pip. The tests of headstart-trainer read the files, so they need no Python;
run this again only to change what is compared:

    python3 scripts/golden_heads.py

Each file holds `x` (n x d), `y` (n, class index) and `test` (n, 1 for the rows kept out of training), and in its metadata
one JSON text under the key `golden`: for each head and C the objective on the training rows and the accuracy on the others.
Objectives are the ones scikit-learn minimises, C * sum(loss) + ||W||^2 / 2, bias free; for one-vs-rest the sum over classes.
The squared hinge loss is minimised here, since LinearSVC penalises the bias. Heads called `..._regularized` are those of
liblinear, with b^2 / 2 beside ||W||^2 / 2; for them weights and biases are kept as well, as lists of rows.
"""

import json
import pathlib

import numpy as np
import sklearn
from safetensors.numpy import save_file
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC, LinearSVC

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "heads"


def digits():
    """Handwritten digits, 8 x 8 grey values 0..16: many more rows than columns, ten classes."""
    x, y = load_digits(return_X_y=True)
    return x.astype(np.uint8), y


def binary():
    """Two overlapping, unequal classes."""
    rng = np.random.default_rng(1)
    y = (rng.random(240) < 0.3).astype(int)
    x = rng.normal(size=(240, 20)) * np.geomspace(0.2, 5, 20) + 3
    x[y == 1] += rng.normal(size=20) * 0.8
    return x.astype(np.float32), y


def wide():
    """More columns than rows, four classes, sparse and non-negative like activations; rows 0 and 1 are the same."""
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(4, 400))
    y = np.arange(96) % 4
    y[1] = y[0]
    x = np.clip(np.round(20 * (0.25 * centres[y] + rng.normal(size=(96, 400)))), 0, 255)
    x[1] = x[0]
    return x.astype(np.uint8), y


def logistic(x, y, c, class_weight):
    """Objective and model at the optimum; two solvers must agree on it."""
    best = []
    weight = np.ones(len(y)) if class_weight is None else (len(y) / (y.max() + 1) / np.bincount(y))[y]
    for solver in ("lbfgs", "newton-cholesky"):
        model = LogisticRegression(C=c, tol=1e-10, max_iter=100_000, solver=solver, class_weight=class_weight).fit(x, y)
        scores = model.decision_function(x)
        if scores.ndim == 1:
            loss = weight @ np.logaddexp(0, -(2 * y - 1) * scores)
        else:
            loss = weight @ (np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(y)), y])
        best.append((c * loss + 0.5 * (model.coef_**2).sum(), model))
    (a, _), (b, model) = best
    assert abs(a - b) <= 1e-6 * abs(b), (c, a, b)
    return min(a, b), model


def svm(x, y, c, class_weight):
    """Sum over classes of the hinge objective with the bias free, which is libsvm's."""
    model = OneVsRestClassifier(SVC(C=c, kernel="linear", tol=1e-8, class_weight=class_weight, cache_size=1000)).fit(x, y)
    total = 0.0
    for index, estimator in enumerate(model.estimators_):
        target = (y == (model.classes_[1] if len(model.estimators_) == 1 else model.classes_[index])).astype(int)
        weight = np.ones(len(y))
        if class_weight == "balanced":
            weight = len(y) / (2 * np.bincount(target))[target]
        w = estimator.coef_.ravel()
        margin = (2 * target - 1) * (x @ w + estimator.intercept_[0])
        total += 0.5 * w @ w + c * (weight * np.maximum(0, 1 - margin)).sum()
    return total, model


class OneVsRest:
    """Coefficients with scikit-learn's rule for predictions."""

    def __init__(self, coef, intercept):
        self.coef, self.intercept = np.array(coef), np.array(intercept)

    def predict(self, x):
        scores = x @ self.coef.T + self.intercept
        return (scores[:, 0] > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(axis=1)


def one_vs_rest(x, y, c, class_weight, fit):
    """`fit(x, target of +-1, weight, c)` for each class gives coefficients, bias and the loss of each margin."""
    classes = [1] if y.max() == 1 else range(y.max() + 1)
    total, coef, intercept = 0.0, [], []
    for k in classes:
        target = (y == k).astype(int)
        weight = np.ones(len(y))
        if class_weight == "balanced":
            weight = len(y) / (2 * np.bincount(target))[target]
        w, b, loss = fit(x, 2 * target - 1, weight, c)
        total += 0.5 * w @ w + c * weight @ loss((2 * target - 1) * (x @ w + b))
        coef.append(w)
        intercept.append(b)
    return total, OneVsRest(coef, intercept)


def squared_hinge(x, sign, weight, c):
    """scikit-learn's LinearSVC penalises the bias, so this is minimised by Newton's method on the rows within the margin."""
    ones = np.column_stack([x, np.ones(len(x))])
    penalty = np.append(np.ones(x.shape[1]), 0)
    theta = np.zeros(ones.shape[1])

    def value(theta):
        return 0.5 * penalty @ theta**2 + c * weight @ np.maximum(0, 1 - sign * (ones @ theta)) ** 2

    for _ in range(200):
        margin = sign * (ones @ theta)
        active = margin < 1
        gradient = penalty * theta - 2 * c * ones[active].T @ (weight * sign * (1 - margin))[active]
        if np.linalg.norm(gradient) <= 1e-11 * c * np.linalg.norm(ones.T @ weight):
            break
        hessian = np.diag(penalty) + 2 * c * (ones[active] * weight[active, None]).T @ ones[active]
        step, length = np.linalg.solve(hessian, -gradient), 1.0
        while value(theta + length * step) > value(theta) + 1e-4 * length * gradient @ step and length > 1e-8:
            length /= 2
        theta = theta + length * step
    return theta[:-1], theta[-1], lambda margin: np.maximum(0, 1 - margin) ** 2


def ridge(x, sign, weight, c):
    model = Ridge(alpha=1 / (2 * c), solver="cholesky" if x.shape[0] > x.shape[1] else "svd").fit(x, sign, weight)
    return model.coef_, model.intercept_, lambda margin: (1 - margin) ** 2


def liblinear(loss):
    """liblinear's solver for one output, a weight for the bias among the others."""

    def fit(x, sign, weight, c):
        if loss == "logistic":
            # Newton's method; the dual one stops far from the optimum.
            model = LogisticRegression(C=c, solver="liblinear", tol=1e-12, max_iter=100_000)
        else:
            model = LinearSVC(C=c, loss=loss, dual=loss == "hinge", tol=1e-9, max_iter=5_000_000, random_state=0)
        model.fit(x, sign, weight)
        value = {
            "hinge": lambda margin: np.maximum(0, 1 - margin),
            "squared_hinge": lambda margin: np.maximum(0, 1 - margin) ** 2,
            "logistic": lambda margin: np.logaddexp(0, -margin),
        }[loss]
        return model.coef_[0], model.intercept_[0], value

    def run(x, y, c):
        total, model = one_vs_rest(x, y, c, None, fit)
        return total + 0.5 * model.intercept @ model.intercept, model

    return run


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    plans = {
        "digits": (digits, [1e-4, 1e-2, 1.0, 100.0], [1e-5, 1e-3, 1e-1, 10.0]),
        "binary": (binary, [1e-4, 1e-2, 1.0, 100.0], [1e-4, 1e-2, 1.0]),
        "wide": (wide, [1e-6, 1e-4, 1e-2, 1.0], [1e-5, 1e-4, 1e-2]),
    }
    for name, (make, logistic_cs, svm_cs) in plans.items():
        x, y = make()
        test = np.arange(len(y)) % 4 == 3 if name != "wide" else np.arange(len(y)) >= 72
        train_x, test_x = x[~test].astype(np.float64), x[test].astype(np.float64)
        train_y, test_y = y[~test], y[test]
        golden = {"scikit_learn": sklearn.__version__, "classes": int(y.max()) + 1}
        golden["heads"] = {}
        runs = [("logistic", lambda *a: logistic(*a, None), logistic_cs)]
        runs += [("logistic_balanced", lambda *a: logistic(*a, "balanced"), logistic_cs)]
        runs += [("svm", lambda *a: svm(*a, None), svm_cs), ("svm_balanced", lambda *a: svm(*a, "balanced"), svm_cs)]
        runs += [("svm_squared", lambda *a: one_vs_rest(*a, None, squared_hinge), svm_cs)]
        runs += [("svm_squared_balanced", lambda *a: one_vs_rest(*a, "balanced", squared_hinge), svm_cs)]
        runs += [("ridge", lambda *a: one_vs_rest(*a, None, ridge), svm_cs)]
        if y.max() == 1:
            # With more classes liblinear's is one against the rest, headstart's multinomial.
            runs += [("logistic_regularized", liblinear("logistic"), logistic_cs)]
        # With a large C liblinear stops short of the optimum.
        runs += [("svm_regularized", liblinear("hinge"), [c for c in svm_cs if c <= 1])]
        runs += [("svm_squared_regularized", liblinear("squared_hinge"), [c for c in svm_cs if c <= 1])]
        for head, fit, cs in runs:
            golden["heads"][head] = []
            for c in cs:
                objective, model = fit(train_x, train_y, c)
                accuracy = float((model.predict(test_x) == test_y).mean())
                point = {"c": c, "objective": float(objective), "accuracy": accuracy}
                if head.endswith("_regularized") and y.max() == 1:
                    point |= {"weights": model.coef.tolist(), "bias": model.intercept.tolist()}
                golden["heads"][head].append(point)
                print(name, head, c, objective, accuracy, flush=True)
        tensors = {"x": x, "y": y.astype(np.uint8), "test": test.astype(np.uint8)}
        save_file(tensors, OUT / f"{name}.safetensors", metadata={"golden": json.dumps(golden)})


if __name__ == "__main__":
    main()

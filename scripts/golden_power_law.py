#!/usr/bin/env python3
"""Makes tests/golden/power_law.json: power laws fitted to learning curves by scipy.optimize.curve_fit.

Needs numpy and scipy from pip. The tests of headstart-scenarios read the file, so they need no Python; run this again only to
change what is compared:

    python3 scripts/golden_power_law.py

Each case has `n`, `error` and `sigma`, and what scipy makes of them: `abc` of a + b n^-c with a, b >= 0 and 0.01 <= c <= 5, the
best of fits from many starts; its `chi2`; and the error `at_doubled`, at twice the largest n. `determined` says whether the
optimum is sharp enough for a, b and c themselves to be compared.
"""

import itertools
import json
import pathlib

import numpy as np
import scipy
from scipy.optimize import OptimizeWarning, curve_fit
import warnings

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "power_law.json"
LOW, HIGH = [0.0, 0.0, 0.01], [1.0, np.inf, 5.0]


def law(n, a, b, c):
    return a + b * n**-c


def fit(n, error, sigma):
    best = None
    for a, c in itertools.product([0.0, 0.3 * error.min(), 0.9 * error.min()], [0.05, 0.2, 0.5, 1.0, 2.0, 4.0]):
        # As large as the first point asks for.
        b = max((error[0] - a) * n[0] ** c, 1e-6)
        try:
            abc, _ = curve_fit(
                law, n, error, p0=[a, b, c], sigma=sigma, absolute_sigma=True, bounds=(LOW, HIGH),
                x_scale=[0.1, b, 1.0], ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=20000,
            )
        except RuntimeError:
            continue
        chi2 = float((((error - law(n, *abc)) / sigma) ** 2).sum())
        if best is None or chi2 < best[1]:
            best = (abc, chi2)
    return best


def main():
    warnings.simplefilter("ignore", OptimizeWarning)
    rng = np.random.default_rng(5)
    cases = []

    def case(name, n, error, sigma, determined):
        n, error = np.asarray(n, float), np.round(np.asarray(error, float), 6)
        sigma = np.broadcast_to(np.asarray(sigma, float), n.shape)
        abc, chi2 = fit(n, error, sigma)
        at_doubled = float(law(2 * n[-1], *abc))
        cases.append(
            dict(name=name, n=n.tolist(), error=error.tolist(), sigma=sigma.tolist(), abc=abc.tolist(), chi2=chi2,
                 at_doubled=at_doubled, determined=determined)
        )
        print(f"{name:32} a {abc[0]:.5f} b {abc[1]:.5f} c {abc[2]:.5f} chi2 {chi2:.3g} at {2 * n[-1]:.0f}: {at_doubled:.5f}")

    n = np.array([10, 20, 60, 200, 800])
    case("exact", n, law(n, 0.05, 1.2, 0.6), 0.01, True)
    case("exact, no floor", n, law(n, 0.0, 0.9, 0.3), 0.01, False)
    case("exact, steep", n, law(n, 0.1, 50.0, 1.8), 0.01, True)
    for seed in range(4):
        noise = rng.normal(size=n.size) * 0.004
        case(f"noise {seed}", n, law(n, 0.08, 1.0, 0.5) + noise, 0.004, True)
    case("different sigmas", n, law(n, 0.1, 0.8, 0.7) + [0.02, -0.01, 0.004, 0.002, -0.002], [0.03, 0.02, 0.01, 0.005, 0.003], True)
    case("four sizes", [300, 600, 900, 3900], [0.312, 0.268, 0.247, 0.205], [0.02, 0.015, 0.012, 0.009], True)
    case("linear in the logarithm", n, 0.6 - 0.07 * np.log(n), 0.01, False)
    n = np.array([15, 30, 90, 300])
    case("few images", n, law(n, 0.0, 2.0, 0.5) + [0.01, -0.01, -0.004, -0.006], 0.01, True)
    OUT.write_text(json.dumps({"scipy": scipy.__version__, "cases": cases}) + "\n")
    print(OUT, OUT.stat().st_size)


if __name__ == "__main__":
    main()

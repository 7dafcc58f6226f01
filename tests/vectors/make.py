#!/usr/bin/env python3
"""Makes the test vectors beside this file: series, and what other people's programs say of them.

Made with Python 3, numpy 2.4.6, scipy 1.17.1 and pymannkendall 1.4.3. Run it where those are
installed; it writes

    series.csv    name, t, y                  the series, digit for digit
    expected.csv  a line for each series      the references' figures
    student.csv   freedom, quantile           scipy.stats.t.ppf(0.95, freedom)

Where a reference has no answer (a logarithm of nothing, a root of a negative variance) it says nan.
"""

import csv
import pathlib
import warnings

import numpy as np
import pymannkendall as mk
from scipy import stats

HERE = pathlib.Path(__file__).parent


def series():
    """Name, times, values; values with at most six decimals, so that CSV holds them exactly."""
    draw = np.random.default_rng(20_240_601)

    def even(values):
        return np.arange(len(values), dtype=float), np.round(np.asarray(values, float), 6)

    yield "three", *even([1.5, 1.25, 4.0])
    yield "four_rising", *even([1, 2, 4, 8])
    yield "rising", *even(100 + 0.7 * np.arange(60) + draw.normal(0, 5, 60))
    yield "falling", *even(50 - 0.25 * np.arange(80) + draw.normal(0, 3, 80))
    yield "level", *even(20 + draw.normal(0, 2, 100))
    yield "ties", *even(np.floor(draw.uniform(0, 6, 50)) + np.arange(50) // 15)
    yield "constant", *even(np.full(30, 7.25))
    yield "straight", *even(3 + 2 * np.arange(40))
    noise = [0.0]
    for news in draw.normal(0, 1, 199):
        noise.append(0.9 * noise[-1] + news)
    yield "remembers", *even(np.asarray(noise))
    yield "remembers_rising", *even(np.asarray(noise)[:150] + 0.06 * np.arange(150))
    yield "sawtooth", *even(np.arange(120) % 17 + 0.02 * np.arange(120) + draw.normal(0, 0.3, 120))
    spiky = 10 + 0.1 * np.arange(90) + draw.normal(0, 0.8, 90)
    spiky[[7, 30, 31, 64]] += [40, 55, 80, -60]
    yield "outliers", *even(spiky)
    times = np.round(np.cumsum(draw.exponential(12, 70)) + np.arange(70), 3)
    yield "irregular", times, np.round(400 - 0.05 * times + draw.normal(0, 4, 70), 6)
    # Each noise of the other sign than the last: nothing is remembered, and nothing is far out.
    flips = draw.uniform(1, 2, 64) * (-1) ** np.arange(64)
    yield "alternating", *even(5e3 + 0.4 * np.arange(64) + flips)
    # Bytes of a real size, and noise of a millionth of the growth.
    yield "fine", *even(2.0**31 + 1e6 * np.arange(48) + draw.normal(0, 40, 48))


def main():
    warnings.simplefilter("ignore")
    with open(HERE / "series.csv", "w", newline="") as rows, open(
        HERE / "expected.csv", "w", newline=""
    ) as answers:
        rows = csv.writer(rows, lineterminator="\n")
        answers = csv.writer(answers, lineterminator="\n")
        rows.writerow(["name", "t", "y"])
        answers.writerow(
            "name s variance z hamed_rao_variance hamed_rao_z sen sen_low sen_high slope error".split()
        )
        for name, t, y in series():
            for row in zip(t, y):
                rows.writerow([name, *(repr(float(value)) for value in row)])
            plain = mk.original_test(y)
            wide = mk.hamed_rao_modification_test(y)
            sen = stats.theilslopes(y, t, alpha=0.9)
            line = stats.linregress(t, y)
            figures = [
                plain.s,
                plain.var_s,
                plain.z,
                wide.var_s,
                wide.z,
                sen.slope,
                sen.low_slope,
                sen.high_slope,
                line.slope,
                line.stderr,
            ]
            answers.writerow([name, *(repr(float(figure)) for figure in figures)])
    with open(HERE / "student.csv", "w", newline="") as rows:
        rows = csv.writer(rows, lineterminator="\n")
        rows.writerow(["freedom", "quantile"])
        for freedom in range(2, 201):
            rows.writerow([freedom, repr(float(stats.t.ppf(0.95, freedom)))])


main()

"""What the estimators of intrinsic dimension read where the truth is known: isotropic Gaussians.

At finite N both methods read too low, and the more so the higher the dimension, the fewer the points and the larger
the scale. The table holds these readings for known dimensions, N and k. It is an aid to reading a curve, not a
correction: a layer is no Gaussian, and curved, clustered or noisy points are biased in their own ways.

    python -m paperlib.geometry.calibration     # measures and writes data/calibration/dimension.json; some minutes
"""

from __future__ import annotations

import importlib.metadata
import math
import time
from functools import cache
from pathlib import Path

import numpy as np

from paperlib.geometry.dimension import dimension_by_scale, intrinsic_dimension
from paperlib.geometry.distances import GeometryError
from paperlib.geometry.neighbors import Neighbors
from paperlib.study.results import package_versions, read_result, write_result
from paperlib.study.study import CODE_ROOT

TABLE = CODE_ROOT / "data" / "calibration" / "dimension.json"
DIMENSIONS, COUNTS, K_MAX, DRAWS, SEED = (2, 5, 10, 20, 40, 80), (250, 500, 1000, 2500), 64, 20, 0


def measure(dimension: int, n: int, k_max: int = K_MAX, draws: int = DRAWS, seed: int = SEED) -> list[dict]:
    """Rows {method, dimension, n, k, mean, sd, error} of the table: readings on `draws` samples of n points.

    sd is that of one reading over samples, error the mean of the errors that the estimator states itself.
    """
    read: dict[tuple[str, int], list] = {}
    for draw in range(draws):
        points = np.random.default_rng([seed, dimension, n, draw]).normal(size=(n, dimension))
        near = Neighbors.of(points, min(2 * k_max, n - 1))
        estimates = [("gride", d) for d in dimension_by_scale(near, k_max)]
        for method, d in [*estimates, ("twonn", intrinsic_dimension(near, "twonn"))]:
            read.setdefault((method, d.k), []).append((d.value, d.error))
    return [
        {
            "method": method,
            "dimension": dimension,
            "n": n,
            "k": k,
            "mean": round(np.mean([v for v, _ in pairs]), 4),
            "sd": round(np.std([v for v, _ in pairs], ddof=1), 4),
            "error": round(np.mean([e for _, e in pairs]), 4),
        }
        for (method, k), pairs in read.items()
    ]


def write_calibration(path: Path | str = TABLE) -> Path:
    """Measure the whole table and write it with its provenance."""
    start = time.perf_counter()
    rows = [row for n in COUNTS for dimension in DIMENSIONS for row in measure(dimension, n)]
    versions = package_versions() | {"scikit-dimension": importlib.metadata.version("scikit-dimension")}
    made = {
        "command": "python -m paperlib.geometry.calibration",
        "draws": DRAWS,
        "seed": SEED,
        "packages": versions,
        "points": "isotropic Gaussians from numpy's default_rng([seed, dimension, n, draw])",
        "seconds": round(time.perf_counter() - start, 1),
    }
    return write_result(path, {"rows": rows}, made)


@cache
def read_calibration(path: Path | str = TABLE) -> tuple[dict, ...]:
    """The rows of the table, see `measure`. Raises ResultError if the file is missing or changed."""
    return tuple(read_result(path)["data"]["rows"])


def calibrated(value: float, n: int, k: int = 16, method: str = "gride") -> float:
    """The dimension of the isotropic Gaussian that reads `value` at this n and k: a reading aid, see above.

    Between the dimensions of the table, and between its counts on a logarithmic scale, readings are interpolated
    linearly. Infinite if the value lies above what the largest dimension of the table reads.
    Raises GeometryError for a method or k that the table lacks, n outside it, or a negative value.
    """
    rows = [row for row in read_calibration() if row["method"] == method and row["k"] == k]
    counts = sorted({row["n"] for row in rows})
    if not rows or not counts[0] <= n <= counts[-1] or not value >= 0:
        known = sorted({(row["method"], row["k"]) for row in read_calibration()})
        listed = ", ".join(f"{m} {k}" for m, k in known)
        raise GeometryError(
            f"There is no calibration for {method!r}, k = {k}, n = {n} and value {value}: the table "
            f"has n from {min(COUNTS)} to {max(COUNTS)}, and {listed}."
        )
    truths = sorted({row["dimension"] for row in rows})
    mean = {(row["dimension"], row["n"]): row["mean"] for row in rows}
    readings = [np.interp(math.log(n), np.log(counts), [mean[d, c] for c in counts]) for d in truths]
    return float(np.interp(value, [0, *readings], [0, *truths], right=math.inf))


if __name__ == "__main__":
    print(write_calibration().relative_to(CODE_ROOT))

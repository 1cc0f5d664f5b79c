"""How layers are shaped, and how alike two of them are. Open `dimension.py` or `similarity.py` first.

Clouds of states in, estimates with errors out. Both rest on one neighbour search (`neighbors.py`).
"""

import lazy_loader

# Which module defines what is offered here; it is imported when a name is first used.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibration": ["calibrated"],
        "dimension": ["dimension_by_scale", "intrinsic_dimension", "plateau"],
        "neighbors": ["Neighbors"],
        "phases": ["phase", "profiles"],
        "similarity": [
            "cka",
            "information_imbalance",
            "mutual_knn",
            "neighborhood_overlap",
            "permutation_null",
            "without_outliers",
        ],
        "subsampling": ["jackknife", "subsample_interval", "subsampled"],
    },
)

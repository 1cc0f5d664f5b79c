"""What true attributes explain of an overlap, against permutations and clouds made of attributes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from small_models import one_sentence

from paperlib.geometry.attribute_control import attribute_shells, excess_gain, excess_overlap
from paperlib.geometry.neighbors import GeometryError, Neighbors
from paperlib.geometry.similarity import neighborhood_overlap

N, K = 240, 12
KINDS = np.random.default_rng(0).integers(0, 3, size=(N, 4))  # four kinds of attribute, of three values each
COUNTS = {kind: np.eye(3, dtype=int)[KINDS[:, kind]] for kind in range(4)}
SHELLS = attribute_shells(COUNTS)
HIDDEN = np.random.default_rng(5).normal(size=(N, 3))


def cloud(seed, weights=(1, 1, 1, 1), hidden=0.0):
    """Points that show attributes, each kind with a weight, and noise of their own; hidden: what else they share."""
    seen = np.concatenate([weight * COUNTS[kind] for kind, weight in enumerate(weights)], axis=1)
    noise = 0.3 * np.random.default_rng(seed).normal(size=(N, 6))
    return Neighbors.of(torch.tensor(np.concatenate([seen, hidden * HIDDEN, noise], axis=1), dtype=torch.float32), 60)


def test_a_shell_holds_what_differs_by_as_much_of_every_kind():
    apart = np.stack([cdist(of, of, "cityblock") for of in COUNTS.values()], axis=-1)
    same = (apart[:, :, None] == apart[:, None, :]).all(-1)  # [i, j, k]: whether j and k differ alike from i
    shells = SHELLS.numpy()
    off = ~np.eye(N, dtype=bool)
    for i in range(0, N, 40):
        rows = off[i][:, None] & off[i][None]
        assert ((shells[i][:, None] == shells[i][None]) == same[i])[rows].all()
    assert (np.diag(shells) == -1).all() and shells.max() < 3**4


def test_with_one_shell_it_is_the_overlap_less_chance():
    x, y = cloud(1), cloud(2)
    alike = torch.zeros(N, N, dtype=torch.long).fill_diagonal_(-1)
    assert excess_overlap(x, y, alike, K) == pytest.approx(neighborhood_overlap(x, y, K) - K / (N - 1))


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (2, 1, 1, 0.5), (3, 1, 0.3, 0.3), (3, 3, 0, 0)])
def test_two_clouds_that_share_attributes_alone_have_no_excess(weights):
    """Whatever both make of a kind of attribute."""
    x, y = cloud(1, weights), cloud(2, weights)
    assert neighborhood_overlap(x, y, K) > 3 * K / (N - 1)
    assert abs(excess_overlap(x, y, SHELLS, K)) < 0.03


def test_two_clouds_that_share_more_have_an_excess():
    assert excess_overlap(cloud(1, hidden=1.0), cloud(2, hidden=1.0), SHELLS, K) > 0.1


def test_pairs_that_are_permuted_within_shells_have_none():
    """Each point's neighbours in y are drawn anew within its shells: the mean excess of many draws is none."""
    x, y, rng, shells = cloud(1), cloud(2), np.random.default_rng(3), SHELLS.numpy()
    members = [{s: np.flatnonzero(row == s) for s in np.unique(row)} for row in shells]

    def drawn_anew():
        rows = []
        for i, nearest in enumerate(y.nearest(K).numpy()):
            kept, sizes = np.unique(shells[i][nearest], return_counts=True)
            rows.append(np.concatenate([rng.choice(members[i][s], n, replace=False) for s, n in zip(kept, sizes)]))
        return replace(y, indices=torch.tensor(np.stack(rows)))

    found = [excess_overlap(x, drawn_anew(), SHELLS, K) for _ in range(20)]
    assert np.mean(found) == pytest.approx(0, abs=3 * np.std(found) / 20**0.5 + 1e-3)


def test_a_gain_of_attributes_alone_is_none_beyond_them():
    text, blind = cloud(2, hidden=1.0), cloud(1, (0, 0, 0, 0))
    by_attributes, by_more = (
        excess_gain([a], [blind], [text], COUNTS, [0], K) for a in (cloud(1), cloud(1, hidden=1.0))
    )
    assert by_attributes.low <= 0 <= by_attributes.high and by_more.low > 5


def test_bad_input():
    x, y = cloud(1), cloud(2)
    for call in (
        lambda: attribute_shells({"a": COUNTS[0] + 0.5}),
        lambda: attribute_shells({}),
        lambda: excess_overlap(x, y, SHELLS[:5, :5], K),
        lambda: excess_overlap(x, y, SHELLS, 100),
    ):
        with pytest.raises(GeometryError) as error:
            call()
        one_sentence(error.value)
    with pytest.raises(ValueError, match="name a place"):
        excess_gain([x], [x], [y], COUNTS, [], K)

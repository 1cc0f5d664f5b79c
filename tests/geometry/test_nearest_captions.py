"""Ranking captions for pictures, against plain loops."""

import numpy as np
import pytest
import torch
from small_models import one_sentence

from paperlib.geometry.distances import GeometryError
from paperlib.geometry.nearest_captions import nearest_captions

PICTURES, CAPTIONS = torch.randn(2, 30, 6, generator=torch.Generator().manual_seed(0)) + 3


def test_the_order_is_that_of_centred_cosines():
    found = nearest_captions(PICTURES, CAPTIONS)
    p, c = (points.numpy() - points.numpy().mean(0) for points in (PICTURES, CAPTIONS))
    for i in range(30):
        cosines = [p[i] @ row / np.linalg.norm(p[i]) / np.linalg.norm(row) for row in c]
        assert found.order[i].tolist() == np.argsort(cosines)[::-1].tolist()
        assert int(found.rank[i]) == 1 + sum(value > cosines[i] for value in cosines)
    assert found.found(30) == 1 and found.found(3) == pytest.approx(float((found.rank <= 3).float().mean()))


def test_where_a_cloud_lies_and_how_large_it_is_does_not_matter():
    moved = nearest_captions(PICTURES, 7 * CAPTIONS - 20)
    assert torch.equal(moved.order, nearest_captions(PICTURES, CAPTIONS).order)
    turned = nearest_captions(PICTURES, CAPTIONS.flip(0)).rank
    assert not torch.equal(turned, moved.rank)


@pytest.mark.parametrize(
    "pictures, captions, word", [(PICTURES, CAPTIONS[:20], "same shape"), (PICTURES, torch.ones(30, 6), "equal")]
)
def test_clouds_that_cannot_be_ranked(pictures, captions, word):
    with pytest.raises(GeometryError) as error:
        nearest_captions(pictures, captions)
    assert word in one_sentence(error.value)

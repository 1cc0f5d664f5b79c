"""Seeded orders: each row once a pass, the same for the same seed, another in each pass."""

from itertools import islice

import pytest

from paperlib.tasks.instructions.shuffles import buffered, permutation


def stream(n, seed=0, epoch=0, size=10):
    return list(buffered(range(n), seed, epoch, size))


@pytest.mark.parametrize("order", [lambda *key: permutation(50, *key).tolist(), lambda *key: stream(50, *key)])
def test_each_row_once_in_an_order_of_seed_and_pass(order):
    keys = [(0, 0), (0, 1), (1, 0), (1, 1)]
    orders = [order(*key) for key in keys]
    assert all(sorted(one) == list(range(50)) and one != sorted(one) for one in orders)
    assert len({tuple(one) for one in orders}) == 4 and orders == [order(*key) for key in keys]


@pytest.mark.parametrize("n", [0, 1, 9, 10, 11])
def test_streams_about_as_long_as_the_buffer(n):
    assert sorted(stream(n)) == list(range(n))


def test_a_stream_is_read_no_further_than_the_buffer():
    read = []
    rows = buffered((read.append(i) or i for i in range(1000)), 0, 0, 10)
    taken = list(islice(rows, 50))
    assert len(read) == 60 and max(taken) < 60


def test_rows_are_moved_far():
    """A row leaves the buffer after `size` others on average."""
    order = stream(2000, size=100)
    late = [place - row for place, row in enumerate(order)]
    assert 80 < sum(late[:1000]) / 1000 + 100 < 120

"""Numbers that are no counts or shares, values that are not finite, and the intervals that would come of them."""

import copy
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_models import one_sentence, tiny_vlm

from paperlib.geometry.kernels import cka
from paperlib.geometry.similarity import permutation_null
from paperlib.geometry.subsampling import jackknife, subsample_interval
from paperlib.models.residual import on_layer
from paperlib.models.vlm import load_vlm
from paperlib.probes.folds import assign_folds
from paperlib.probes.probing import probe
from paperlib.probes.separability import separability
from paperlib.probes.state_checks import pick_device
from paperlib.scoring.choices import other_pictures
from paperlib.scoring.evaluation import evaluate
from paperlib.scoring.metrics import object_f1, relaxed_match
from paperlib.stats import accuracy as intervals
from paperlib.stats.accuracy import Interval, accuracy
from paperlib.stats.bootstrap import group_intervals, group_weights
from paperlib.stats.effects import gap_share, paired_difference, rank_agreement
from paperlib.stats.permutation import control_labels, permutation_p
from paperlib.study.checks import finite, seeded, share, shown, whole
from paperlib.tasks import benchmarks
from paperlib.tasks.benchmarks import examples
from paperlib.tasks.counterfactuals import counterfactuals
from paperlib.tasks.probe_tasks import probe_tasks

NAN, INF = float("nan"), float("inf")
RECORDS = [SimpleNamespace(id=str(i), group=str(i), correct=i % 2 == 0) for i in range(6)]
SCORES, GROUPS = [0.1, 0.5, 0.3], list("abc")


def refused(call, words="", error=ValueError):
    with pytest.raises(error) as caught:
        call()
    assert words in one_sentence(caught.value)


@pytest.mark.parametrize("value", [1.5, 2.0, "3", None, True, np.True_, NAN, [1], 0, 11, torch.tensor([2, 3])])
def test_what_is_no_count_is_refused(value):
    refused(lambda: whole(value, "k", 1, 10), "k must be a whole number from 1 to 10, got ")


def test_counts_are_ints_whatever_they_came_as():
    assert [type(whole(v, "k")) for v in (3, np.int64(3), np.uint8(3))] == [int] * 3


@pytest.mark.parametrize("value", [0, 1, -0.5, NAN, INF, "0.5", None, True, [0.5]])
def test_what_is_no_share_is_refused(value):
    refused(lambda: share(value, "level"), "level must lie between 0 and 1, got ")


@pytest.mark.parametrize("values", [[NAN, 1.0], [1.0, INF], ["a"], [None], [1j], [[1.0], [1.0, 2.0]], None, 3.0])
def test_what_is_not_finite_is_refused(values):
    refused(lambda: finite(values, "Scores", 1), "Scores must be ")


def test_values_are_shown_on_one_short_line():
    for value in (np.zeros((50, 50)), torch.zeros(9, 9), "a\nb" * 500, list(range(10**5)), 10**5000, {"a": NAN}):
        assert "\n" not in shown(value) and len(shown(value)) < 120


# ---------------------------------------------------------------- intervals


@pytest.mark.parametrize(
    "ends",
    [
        (0.5, NAN, 1.0),
        (0.5, 0.0, NAN),
        (NAN, 0.0, 1.0),
        (0.5, -INF, INF),
        (0.5, 1.0, 0.0),
        (0.5, None, 1.0),
        ("0.5", 0.0, 1.0),
    ],
)
def test_an_interval_is_finite_and_in_order(ends):
    refused(lambda: Interval(*ends, 3), "An interval needs")
    refused(lambda: Interval._make((*ends, 3)), "An interval needs")
    refused(lambda: Interval(0.5, 0.0, 1.0, 3)._replace(value=ends[0], low=ends[1], high=ends[2]), "An interval needs")


@pytest.mark.parametrize("n", [0, -1, 2.5, None, "3"])
def test_an_interval_is_over_some_records(n):
    refused(lambda: Interval(0.5, 0.0, 1.0, n), "n of an interval")


def test_intervals_are_copied_and_pickled_as_the_tuples_they_are():
    one = Interval(0.5, 0.25, np.float32(0.75), 3)
    assert one == (0.5, 0.25, 0.75, 3) and copy.deepcopy(one) == one == pickle.loads(pickle.dumps(one))
    assert type(pickle.loads(pickle.dumps(one))) is Interval and one._replace(low=0).low == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda x: paired_difference(x, [0.0] * 3, GROUPS),
        lambda x: paired_difference([0.0] * 3, x, GROUPS),
        lambda x: gap_share(x, SCORES, SCORES, GROUPS),
        lambda x: gap_share([0.0] * 3, [0.0] * 3, x, GROUPS),
        lambda x: group_intervals([x], GROUPS, (0, 1)),
        lambda x: group_intervals([[1.0] * 3, x], ["a"] * 3, (0, 1)),
        lambda x: jackknife(x, 10),
        lambda x: subsample_interval(lambda z: z[0], np.array(x)[[1, 1, 1]]),
        lambda x: rank_agreement({"a": x}),
        lambda x: permutation_p(x, [[1.0] * 3]),
        lambda x: permutation_p([1.0] * 3, [x]),
    ],
)
@pytest.mark.parametrize("bad", [NAN, INF, None, "a", 1j])
def test_nothing_is_estimated_from_what_is_not_finite(call, bad):
    refused(lambda: call([0.5, bad, 1.0]))


@pytest.mark.parametrize(
    "call",
    [
        lambda: group_intervals([[]], [], (0, 1)),
        lambda: group_intervals([], [], (0, 1)),
        lambda: group_intervals([1.0], ["a"], (0, 1)),
        lambda: group_intervals([[1.0, 2.0]], ["a"], (0, 1)),
        lambda: paired_difference([], [], []),
        lambda: control_labels([1, 2], ["a"], np.random.default_rng(0)),
        lambda: jackknife([[1.0, 2.0]] * 4, 10),
        lambda: jackknife([1.0, 2.0, 3.0], 10.5),
        lambda: jackknife([1.0] * 4, 10, share=NAN),
    ],
)
def test_empty_groups_and_shapes_that_differ_are_refused(call):
    refused(call)


@pytest.mark.parametrize("bad", [1.5, "100", None, True, 0, -5, 10**12])
@pytest.mark.parametrize(
    "call",
    [
        lambda n: accuracy(RECORDS, n_boot=n),
        lambda n: paired_difference(SCORES, [0.0] * 3, GROUPS, n_boot=n),
        lambda n: group_intervals([SCORES], GROUPS, (0, 1), n_boot=n),
        lambda n: group_weights(GROUPS, n),
        lambda n: gap_share(SCORES, [0.0] * 3, [1.0] * 3, GROUPS, n_boot=n),
    ],
)
def test_draws_are_counted_in_whole_numbers(call, bad):
    refused(lambda: call(bad), "n_boot must be a whole number from 1 to 1,000,000")


@pytest.mark.parametrize("bad", [0, 1, 95, NAN, "0.9", None, True])
@pytest.mark.parametrize(
    "call",
    [
        lambda v: accuracy(RECORDS, level=v),
        lambda v: paired_difference(SCORES, [0.0] * 3, GROUPS, level=v),
        lambda v: group_intervals([SCORES], GROUPS, (0, 1), level=v),
        lambda v: gap_share(SCORES, [0.0] * 3, [1.0] * 3, GROUPS, level=v),
        lambda v: jackknife(SCORES, 10, level=v),
    ],
)
def test_levels_lie_between_0_and_1(call, bad):
    refused(lambda: call(bad), "level must lie between 0 and 1")


def test_methods_that_find_all_depths_alike_agree_with_nothing():
    found = rank_agreement({"a": [1, 2, 3], "flat": [1, 1, 1]})
    assert (
        found["a"]["a"] == pytest.approx(1)
        and found["a"]["flat"] is found["flat"]["a"] is found["flat"]["flat"] is None
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: object_f1("a dog", ["dog"], ["dog"]),
        lambda: object_f1(["a dog"], ["dog"], ["dog"]),
        lambda: object_f1(["a dog"], [["dog"]], "dog"),
        lambda: object_f1([None], [["dog"]], ["dog"]),
        lambda: relaxed_match(None, "1"),
        lambda: relaxed_match("1", 1.0),
        lambda: relaxed_match("1", "1", NAN),
        lambda: relaxed_match("1", "1", -0.1),
    ],
)
def test_texts_are_texts(call):
    refused(call)


@pytest.mark.parametrize("seed", [None, -1, 1.5, "0", True, NAN])
@pytest.mark.parametrize(
    "call",
    [
        lambda s: seeded(s),
        lambda s: accuracy(RECORDS, seed=s),
        lambda s: paired_difference(SCORES, [0.0] * 3, GROUPS, seed=s),
        lambda s: group_weights(GROUPS, 50, s),
        lambda s: subsample_interval(lambda x: 0.5, X[:, 0], n=5, seed=s),
        lambda s: permutation_null(cka, X[:, 0], X[:, 0], 5, seed=s),
        lambda s: separability(X, X, FOLDERS, FOLDERS, permutations=5, seed=s),
        lambda s: probe(X, LABELS, FOLDERS, folds=2, controls=1, seed=s),
        lambda s: other_pictures([SimpleNamespace(picture=i, group=i, answer=i, benchmark=0, kind=0) for i in "ab"], s),
        lambda s: load_vlm("tiny", "cpu", s),
    ],
)
def test_seeds_are_whole_numbers(call, seed):
    """None would draw otherwise each time, and 1.5 is 1 to torch."""
    accuracy(RECORDS, seed=1)  # which equals True, so that a cache could answer
    refused(lambda: call(seed), "seed must be a whole number")


@pytest.mark.parametrize("limits", [(1, 0), (NAN, 1), (0, INF), (0.2, 1), (0, 0.4)])
def test_limits_hold_the_values(limits):
    refused(lambda: group_intervals([SCORES], GROUPS, limits), "Limits must be the smallest and the largest")
    assert group_intervals([[1 + 1e-15] * 3], GROUPS, (0, 1))  # by rounding alone


@pytest.mark.parametrize("groups", [[None] * 3, ["a", None, "b"], [NAN, "a", "b"], "abc"])
def test_every_example_has_its_group(groups):
    refused(lambda: group_intervals([SCORES], groups, (0, 1)), "Groups must be one name for each example")


# ---------------------------------------------------------------- examples, folds, devices, layers


@pytest.mark.parametrize("n", [1.5, "3", None, True, 0, -1, 10**12, 2.0, NAN])
def test_examples_are_counted_in_whole_numbers(n):
    refused(lambda: benchmarks.load("scenes", "test", n), "n must be a whole number from 1 to 100,000")
    refused(lambda: examples("pope", n), "n must be a whole number from 1 to 100,000")
    refused(lambda: counterfactuals(n), "n must be a whole number from 1 to 100,000")
    refused(lambda: probe_tasks(n), "n of a probing task must be a whole number from 4 to 100,000")
    refused(lambda: separability(X, X, FOLDERS, FOLDERS, permutations=n), "permutations must be a whole number from 1")


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: benchmarks.load(["scenes"]), "Unknown benchmark"),
        (lambda: benchmarks.load("scenes", seed=1.5), "seed must be"),
        (lambda: benchmarks.load("scenes", seed=-1), "seed must be"),
        (lambda: examples(None, 1), "Unknown suite"),
        (
            lambda: evaluate(None, SimpleNamespace(n_eval=1, seed=0), "outside", kinds=["easy shapes"]),
            "no questions of kind",
        ),
        (lambda: evaluate(None, SimpleNamespace(n_eval=1, seed=0), "outside", kinds="size"), "no questions of kind"),
    ],
)
def test_what_is_evaluated_is_known(call, words):
    refused(call, words)


X, LABELS, FOLDERS = np.random.default_rng(0).normal(size=(12, 1, 3)), [0, 1] * 6, list("abcdefghijkl")


@pytest.mark.parametrize(
    "options",
    [
        {"folds": 1.5},
        {"folds": "3"},
        {"folds": True},
        {"folds": None},
        {"folds": 10**9},
        {"folds": np.full(12, 0.5)},
        {"controls": -1},
        {"controls": 1.5},
        {"controls": None},
        {"l2": 0},
        {"l2": NAN},
        {"l2": "1"},
        {"device": "cuda:99"},
        {"device": "tpu"},
    ],
)
def test_probes_refuse_odd_options(options):
    refused(lambda: probe(X, LABELS, FOLDERS, **{"folds": 2} | options))


def test_folds_need_a_group_for_each_label():
    refused(lambda: assign_folds(LABELS, FOLDERS[:5], 2), "Each label needs its group")
    refused(lambda: pick_device("cuda:99"), "no device 'cuda:99' on this machine")


@pytest.mark.parametrize("layer", [-1, 99, 1.5, True, None, "1"])
def test_functions_act_on_layers_that_are_there(layer):
    refused(lambda: on_layer(tiny_vlm(), layer, print), "There is no layer")


def test_free_answers_have_no_chance():
    refused(lambda: intervals.chance([SimpleNamespace(id="a", logprobs=())]), "'a' has none")


def test_accuracy_is_what_it_was():
    found = accuracy(RECORDS)
    assert found.value == 0.5 and math.isfinite(found.low) and isinstance(found, intervals.Interval) and found.n == 6

"""Agreement of two ways of scoring, counted by hand."""

from dataclasses import replace

import pytest
from small_models import one_sentence, tiny_vlm

from paperlib.scoring.both_ways import agreement, named_choice
from paperlib.scoring.generation import Reply, generate
from paperlib.scoring.records import Record, choice_logprobs
from paperlib.stats.bootstrap import group_intervals
from paperlib.stats.effects import paired_difference
from paperlib.tasks.benchmarks import Example, public
from paperlib.tasks.benchmarks import examples as suite_of

ANSWERS = ["yes", "no", "yes", "no", "yes", "no"]
LIKELIEST = ["yes", "no", "no", "yes", "yes", "no"]
SAID = ["yes", "No.", "yes", "yes", "I think so", "yes"]
# right by choice 1 1 0 0 1 1, by reply 1 1 1 0 0 0; same choice 1 1 0 1 0 0


def example(i, answer):
    return Example(f"e{i}", "b", "k", "test", "Is it?", answer, ("yes", "no"), None, f"g{i // 2}")


EXAMPLES = [example(i, answer) for i, answer in enumerate(ANSWERS)]
RECORDS = [
    Record(e.id, "k", "b", e.group, e.answer, said, said == e.answer, (0.0, -1.0), (1, 1))
    for e, said in zip(EXAMPLES, LIKELIEST)
]
REPLIES = [Reply(e.id, said, (1,), "end") for e, said in zip(EXAMPLES, SAID)]


def test_shares_are_those_counted_by_hand_in_any_order():
    found = agreement(EXAMPLES, RECORDS[::-1], REPLIES[2:] + REPLIES[:2])
    assert {name: (interval.value, interval.n) for name, interval in found.items()} == {
        "choices": (4 / 6, 6),
        "replies": (3 / 6, 6),
        "both right or both wrong": (3 / 6, 6),
        "same choice": (3 / 6, 6),
        "unreadable": (1 / 6, 6),
        "difference": (pytest.approx(-1 / 6), 6),
    }
    groups = [e.group for e in EXAMPLES]
    assert found["both right or both wrong"] == group_intervals([[1, 1, 0, 1, 0, 0]], groups, (0, 1))[0]
    assert found["same choice"] == group_intervals([[1, 1, 0, 1, 0, 0]], groups, (0, 1))[0]
    assert found["difference"] == paired_difference([1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 1], groups, (-1, 1))


def test_a_benchmarks_own_rules_decide():
    """By POPE's exact rule "No." is neither yes nor no; by LLaVA's rule whatever is not no is yes."""
    pope = public("pope")
    found = agreement(EXAMPLES, RECORDS, REPLIES, pope.score, lambda text, e: pope.first_sentence(text))
    assert found["replies"].value == pytest.approx(2 / 6) and found["unreadable"].value == 0
    assert found["same choice"].value == pytest.approx(4 / 6)  # yes, no, yes, yes, yes, yes are said
    by_rule = agreement(EXAMPLES, RECORDS, REPLIES, lambda text, e: pope.score(text, e)["rules"]["first sentence"])
    assert by_rule["replies"].value == pytest.approx(4 / 6)


def test_the_choice_that_a_reply_names():
    e = replace(EXAMPLES[0], choices=("hot dog", "Dog.", "A"))
    named = [named_choice(text, e) for text in (" HOT dog. ", "dog", "a", "dogs", "", "A..")]
    assert named == ["hot dog", "Dog.", "A", None, None, None]


def test_both_ways_of_one_model_agree_where_they_must():
    """Choices of one token each, and a reply of the likeliest token among them."""
    vlm = tiny_vlm()
    asked = [replace(e, choices=("a", "b"), answer="a") for e in suite_of("pope", 2)]
    one = [vlm.tokenizer(letter, add_special_tokens=False).input_ids[0] for letter in "ab"]
    vlm.model.generation_config.suppress_tokens = [i for i in range(len(vlm.tokenizer)) if i not in one]
    found = agreement(asked, choice_logprobs(vlm, asked), generate(vlm, asked, max_new_tokens=1))
    assert found["same choice"].value == found["both right or both wrong"].value == 1
    assert found["difference"].value == 0 and found["choices"].n == len(asked)


def test_bad_input():
    def refused(*args, **options):
        with pytest.raises(ValueError) as error:
            agreement(*args, **options)
        return one_sentence(error.value)

    for examples, records, replies in (
        (EXAMPLES, RECORDS[:5], REPLIES),
        (EXAMPLES, RECORDS, REPLIES[:5]),
        (EXAMPLES[:5], RECORDS, REPLIES),
        (EXAMPLES, RECORDS, REPLIES[:5] + [REPLIES[0]]),
        (EXAMPLES, RECORDS, [*REPLIES, REPLIES[0]]),
        (EXAMPLES, RECORDS, [*REPLIES[:5], Reply("z", "yes", (), "end")]),
        ([], [], []),
    ):
        assert "the same examples once each" in refused(examples, records, replies)
    assert "neither right nor wrong" in refused(EXAMPLES, RECORDS, REPLIES, lambda text, e: {"correct": 0.3})

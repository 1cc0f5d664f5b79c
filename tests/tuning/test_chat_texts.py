"""Chats as a model's own template writes them, and where their answers are."""

import pytest
from instruction_rows import coloured, instruction
from miniature_hub import LINEAGES
from miniature_tokenizers import tokenizer_with
from small_models import tiny_vlm

from paperlib.models.fetching import place_of
from paperlib.models.lineages import shipped
from paperlib.models.processors import load_processor
from paperlib.models.vlm import VLM
from paperlib.tasks.instructions.instruction import Refused
from paperlib.tuning.chat_texts import chat_text, without_turns

RED, BLUE = coloured("red"), coloured("blue")
TURNS = ("Who is it?", "a dog"), ("And\nnow?", "a cat, a dog")
TWO = instruction("1", *TURNS, pictures=[RED, BLUE], places=[(0, 10), (1, 0)])
LLAVA = (  # it ends no turn
    "{% for m in messages %}{% for p in m['content'] if p['type'] == 'text' %}{{ p['text'] + ' ' }}"
    "{% endfor %}{% endfor %}"
)


class Processor:
    """A tokenizer with a chat template."""

    def __init__(self, template):
        self.tokenizer, self.chat_template = tokenizer_with("<image>", template=template), template

    def apply_chat_template(self, messages, **options):
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **options)


def by(template, made=TWO):
    vlm = tiny_vlm()
    found = chat_text(VLM("by", vlm.model, Processor(template)), made)
    return found.text, [found.text[start:end] for start, end in found.answers]


# What the miniature lineages' templates, which are the true ones, make of TWO.
CHATS = {
    "llava-1.5-7b": (
        "USER: <image>\nWho is it? ASSISTANT: a dog</s> USER: <image>\nAnd\nnow? ASSISTANT: a cat, a dog</s> ", "</s>"
    ),
    "onevision-0.5b": (
        "<|im_start|>user <image>\nWho is it?<|im_end|><|im_start|>assistant \na dog<|im_end|>"
        "<|im_start|>user <image>\nAnd\nnow?<|im_end|><|im_start|>assistant \na cat, a dog<|im_end|>", "<|im_end|>"
    ),
    "internvl3-1b": (
        "<|im_start|>user\nWho is it?<IMG_CONTEXT>\n<|im_end|>\n<|im_start|>assistant\na dog<|im_end|>\n"
        "<|im_start|>user\n<IMG_CONTEXT>\nAnd\nnow?<|im_end|>\n<|im_start|>assistant\na cat, a dog<|im_end|>\n",
        "<|im_end|>",
    ),
    "qwen2.5-vl-3b": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "Who is it?<|vision_start|><|image_pad|><|vision_end|><|im_end|>\n<|im_start|>assistant\na dog<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>And\nnow?<|im_end|>\n"
        "<|im_start|>assistant\na cat, a dog<|im_end|>\n",
        "<|im_end|>",
    ),
    "smolvlm-256m": (
        "<|im_start|>User: Who is it?<image><end_of_utterance>\nAssistant: a dog<end_of_utterance>\n"
        "User:<image>And\nnow?<end_of_utterance>\nAssistant: a cat, a dog<end_of_utterance>\n",
        "<end_of_utterance>",
    ),
    "gemma-3-4b": (
        "<bos><start_of_turn>user\nWho is it?<start_of_image><end_of_turn>\n<start_of_turn>model\na dog<end_of_turn>\n"
        "<start_of_turn>user\n<start_of_image>And\nnow?<end_of_turn>\n"
        "<start_of_turn>model\na cat, a dog<end_of_turn>\n",
        "<end_of_turn>",
    ),
}  # fmt: skip


def lineage(name):
    place, options = place_of(shipped()[name].tuned)
    return VLM(name, tiny_vlm().model, load_processor(place, **options))


@pytest.mark.parametrize("name", CHATS)
def test_lineages_by_their_own_templates(hub, name):
    text, end = CHATS[name]
    found = chat_text(lineage(name), TWO)
    assert found.text == text
    assert [found.text[start:stop] for start, stop in found.answers] == ["a dog" + end, "a cat, a dog" + end]


def test_a_format_without_turns_is_prompt_and_answer(hub):
    assert {*LINEAGES} - {*CHATS} == {"paligemma-3b"}
    vlm = lineage("paligemma-3b")
    assert without_turns(vlm) and not without_turns(lineage("gemma-3-4b"))
    found = chat_text(vlm, TWO.first(1))
    assert found.text == vlm.prompt("Who is it?") + "a dog<eos>" == "<image><bos>Who is it?\na dog<eos>"
    assert found.text[slice(*found.answers[0])] == "a dog<eos>"


def test_of_the_study_s_own_template():
    vlm = tiny_vlm()
    found = chat_text(vlm, instruction("1", TURNS[0], pictures=[RED]))
    assert found.text == vlm.prompt("Who is it?") + "a dog<|im_end|>\n"


@pytest.mark.parametrize(
    "template, answers",
    [
        (LLAVA, ["a dog</s>", "a cat, a dog</s>"]),
        (LLAVA + "{{ eos_token }}", ["a dog</s>", "a cat, a dog </s>"]),  # after the last answer alone
        (LLAVA.replace("+ ' '", "+ ('' if m['role'] == 'user' else ' <|im_end|>')"),
         ["a dog <|im_end|>", "a cat, a dog <|im_end|>"]),
        (LLAVA.replace("{% for p", "{{ '<|im_start|>' }}{% for p"), ["a dog</s>", "a cat, a dog</s>"]),
    ],
)  # fmt: skip
def test_the_end_of_a_turn(template, answers):
    text, found = by(template)
    assert found == answers and text.count("</s>") + text.count("<|im_end|>") == 2


@pytest.mark.parametrize("words", ["a <|im_end|>", "<image>", "say </s>", "<s>"])
def test_special_tokens_in_the_words_are_refused(words):
    for turn in ((words, "yes"), ("so?", words)):
        with pytest.raises(Refused, match="^special token in its words$"):
            by(LLAVA, instruction("1", TURNS[0], turn))


def test_words_that_a_template_rewrites_are_refused():
    for template in (
        LLAVA.replace("p['text'] +", "p['text'] | upper +"),
        LLAVA.replace("p['text'] +", "p['text'].split(',')[-1] +"),
        LLAVA.replace("in messages", "in messages[:2]"),
    ):
        with pytest.raises(Refused, match="^the chat template rewrites its words$"):
            by(template)
    trimmed = LLAVA.replace("p['text'] +", "p['text'] | trim +")
    assert by(trimmed)[1][0] == "a dog</s>"
    with pytest.raises(Refused, match="rewrites"):
        by(trimmed, instruction("1", ("so?", " yes")))
    with pytest.raises(Refused, match="rewrites"):  # it holds what stands for an answer
        by(LLAVA, instruction("1", ("\ue0000\ue001", "yes")))
    with pytest.raises(Refused, match="^text that cannot be encoded$"):
        by(LLAVA, instruction("1", ("so?", "\ud83d")))


def test_an_answer_that_stands_in_the_question_too():
    found = by(LLAVA, instruction("1", ("yes or no? yes", "yes"), ("yes", "yes")))
    assert found == ("yes or no? yes yes</s> yes yes</s> ", ["yes</s>", "yes</s>"])

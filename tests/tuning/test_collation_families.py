"""Collation on every family: against transformers' own mask of answers, against growing prefixes, in the model."""

from importlib.util import find_spec

import pytest
import torch
from families import FAMILIES, family
from family_processors import KINDS, write
from instruction_rows import coloured, instruction
from miniature_hub import LINEAGES

from paperlib.models.processors import begun, load_processor
from paperlib.models.vlm import VLM, load_vlm
from paperlib.tuning import collation
from paperlib.tuning.collation import IGNORED, collate

RED, BLUE = coloured("red", (24, 48)), coloured("blue")
ROWS = [
    instruction("pictured", ("Who is it?", "a dog"), ("And now?", "a dog, and a dog"), pictures=[RED]),
    instruction("text", ("Why?", "so"), ("Why is it\nnot?", "so, no")),
    instruction(
        "two",
        ("Is it so?", "one\n\ntwo"),
        ("And it?", "it is"),
        ("At last?", "no"),
        pictures=[RED, BLUE],
        places=[(0, 5), (1, 7)],
    ),
]
# What marks the answers of `miniature_tokenizers.CHATML` for transformers, by what it replaces.
MARKED = {
    "{{ part['text'] }}": "{% if m['role'] == 'assistant' %}{% generation %}{{ part['text'] + '<|im_end|>' }}"
    "{% endgeneration %}{% else %}{{ part['text'] }}{% endif %}",
    "{{ '<|im_end|>\n' }}": "{{ '\n' if m['role'] == 'assistant' else '<|im_end|>\n' }}",
}


def chat(one):
    """An instruction as transformers takes it, pictures inside."""
    pictures, messages = iter(one.pictures), []
    for turn, (_, answer) in enumerate(one.turns):
        parts = one.parts(turn)
        asked = [
            {"type": "image", "image": next(pictures).open()} if part is None else {"type": "text", "text": part}
            for part in parts
        ]
        messages += [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        ]
    return messages


def same(made, other, size):
    """Whether a row has these inputs, but for padding."""
    return torch.equal(made[:size], other[:size])


@pytest.fixture(params=KINDS)
def vlm(request, tmp_path, monkeypatch):
    """A family's model with the processor of its class; their vocabularies differ, so it is never run."""
    name = request.param
    if name == "smolvlm" and find_spec("num2words") is None:
        pytest.skip("this class of processor needs num2words; SmolVLM's own repositories name another")
    monkeypatch.setattr(collation, "check_length", lambda model, tokens: None)  # for these models 128
    write(name, tmp_path, "new")
    return VLM(name, family(name)[0].model, load_processor(str(tmp_path)))


def test_every_family_has_a_processor_here():
    assert KINDS.keys() == FAMILIES.keys()


def test_labels_are_where_transformers_own_template_marks_answers(vlm):
    template = vlm.processor.chat_template
    for plain, marked in MARKED.items():
        assert template.count(plain) == 1
        template = template.replace(plain, marked)
    own = vlm.processor.apply_chat_template(
        [chat(one) for one in ROWS],
        chat_template=template,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        processor_kwargs={"padding": True, "padding_side": "right", "return_tensors": "pt"},
    )
    made = collate(vlm, ROWS, 4000)
    assert made.turns == (2, 2, 3) and not made.refused
    assert torch.equal(made.inputs["input_ids"], torch.as_tensor(own["input_ids"]))
    marked = torch.as_tensor(own["assistant_masks"]).bool()
    assert torch.equal(made.labels != IGNORED, marked) and marked.any(1).all()
    for key in made.inputs.keys() - {"token_type_ids"}:
        assert torch.equal(made.inputs[key], torch.as_tensor(own[key])), key


def check_prefixes(vlm, rows):
    """Each answer begins where the prompt before it ends, and ends one end token after its words."""
    made = collate(vlm, rows, 2000)
    for row, one in enumerate(rows):
        ids = made.inputs["input_ids"][row]
        on = torch.zeros(len(ids), dtype=torch.bool)
        for turn in range(len(one.turns)):
            before, after = (prefix(vlm, one, turn, answered) for answered in (False, True))
            assert torch.equal(ids[: len(before)], before) and torch.equal(ids[: len(after)], after)
            on[len(before) : len(after)] = True
        assert torch.equal(made.labels[row] != IGNORED, on), one.id


def prefix(vlm, one, turn, answered):
    """The tokens of a chat up to an answer, or up to the end token after it, by the processor alone."""
    messages, kept = chat(one)[: 2 * turn + 1 + answered], one.first(turn + 1)
    text = vlm.processor.apply_chat_template(messages, add_generation_prompt=not answered)
    text = text[: text.rindex(end_of(vlm)) + len(end_of(vlm))] if answered else text
    pictures = [picture.open() for picture in kept.pictures]
    options = {"add_special_tokens": not begun(vlm.tokenizer, text), "return_tensors": "pt"}
    return vlm.processor(text=[text], images=[pictures] if pictures else None, **options)["input_ids"][0]


def end_of(vlm):
    return next(
        end for end in ("<|im_end|>", "<end_of_utterance>", "<end_of_turn>") if end in str(vlm.processor.chat_template)
    )


def test_answers_stand_where_growing_prefixes_say(vlm):
    # OneVision cuts a picture into crops where it is the only one, so the prefix before a second one is another.
    check_prefixes(vlm, ROWS[:2] if vlm.name == "llava-onevision" else ROWS)


def test_a_batch_holds_what_its_rows_hold_alone(vlm):
    check_rows(vlm, ROWS)


def check_rows(vlm, rows):
    for order in (rows, rows[::-1]):
        together = collate(vlm, order, 2000)
        for row, one in enumerate(order):
            alone = collate(vlm, [one], 2000)
            size = int(alone.inputs["attention_mask"].sum())
            for key in alone.inputs.keys() & {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"}:
                assert same(together.inputs[key][row], alone.inputs[key][0], size), key
            assert same(together.labels[row], alone.labels[0], size)
            assert (together.labels[row, size:] == IGNORED).all() and not together.inputs["attention_mask"][
                row, size:
            ].any()


def test_a_picture_of_a_shape_that_the_processor_refuses_ends_no_run(vlm):
    """Qwen's refuse one of 900 x 2 pixels."""
    narrow = instruction("narrow", ("Who?", "a dog"), pictures=[coloured("red", (900, 2))])
    made = collate(vlm, [ROWS[0], narrow, ROWS[1]], 40000)
    told = (("narrow", "picture that the processor refuses"),) if "qwen" in vlm.name else ()
    assert made.refused == told and made.ids == ("pictured", *["narrow"] * (not told), "text")
    if told:
        assert torch.equal(made.labels, collate(vlm, ROWS[:2], 40000).labels)


# ---------------------------------------------------------------- lineages: true templates, and models that fit


@pytest.fixture(params=LINEAGES)
def lineage(request, hub):
    return load_vlm(request.param, "cpu", dtype="float32")


def turns_of(vlm, rows):
    return [one.first(1) for one in rows] if "paligemma" in vlm.name else rows


@torch.no_grad()
def test_lineages_run_on_it(lineage):
    """The loss of a batch is that of its rows one by one, and depends on the pictures."""
    rows = turns_of(lineage, ROWS)
    check_rows(lineage, rows)
    made = collate(lineage, rows, 2000)
    assert made.turns == tuple(len(one.turns) for one in rows) and made.labels.ne(IGNORED).any(1).all()
    apart = [loss(lineage, [one]) for one in rows]
    assert loss(lineage, rows) == pytest.approx(sum(apart), rel=1e-4)
    blue = instruction("blue", *rows[0].turns, pictures=[BLUE])
    assert abs(loss(lineage, [blue]) - apart[0]) > 1e-4


def loss(vlm, rows):
    made = collate(vlm, rows, 2000)
    n = int((made.labels[:, 1:] != IGNORED).sum())
    return float(vlm.model(**made.inputs, labels=made.labels).loss) * n


def test_one_turn_is_what_the_lineage_is_later_asked(lineage):
    """But for OneVision's, whose template writes its answers' first line otherwise than its prompts' last one."""
    one = ROWS[0].first(1)
    made = collate(lineage, [one], 2000)
    asked = lineage.batch([lineage.prompt("Who is it?")], [RED.open()], ["a dog"])
    if "onevision" in lineage.name:
        question = lineage.spans(asked)[0].question
        assert not same(made.inputs["input_ids"][0], asked["input_ids"][0], int(question[-1]) + 1)
        return
    ids, start = made.inputs["input_ids"][0], int(made.labels[0].ne(IGNORED).nonzero()[0])
    prompt = lineage.batch([lineage.prompt("Who is it?")], [RED.open()])["input_ids"][0]
    assert start == len(prompt) and torch.equal(ids[:start], prompt)
    assert lineage.tokenizer.decode(ids[made.labels[0] != IGNORED], skip_special_tokens=True).strip() == "a dog"
    for key in made.inputs.keys() & asked.keys() - {"input_ids", "attention_mask"}:
        if made.inputs[key].shape == asked[key].shape:
            assert torch.equal(made.inputs[key], asked[key]), key


def test_growing_prefixes_of_lineages(lineage):
    if {*lineage.name.split("-")} & {"onevision", "paligemma", "llava"}:
        pytest.skip("its template ends no turn with a token, has no turns, or writes an answer otherwise than a prompt")
    check_prefixes(lineage, ROWS)


@torch.no_grad()
def test_the_answer_of_a_prefix_model_is_causal(hub):
    """PaliGemma attends in both directions within the prompt, and not from the answer back."""
    vlm = load_vlm("paligemma-3b", "cpu", dtype="float32")
    one = ROWS[0].first(1)
    made = collate(vlm, [one, ROWS[1]], 2000)
    assert made.turns == (1, 1)
    types, on = made.inputs["token_type_ids"], made.labels != IGNORED
    assert torch.equal(types.bool(), on)
    logits = vlm.model(**made.inputs, labels=made.labels).logits[0]
    longer = collate(vlm, [instruction("1", ("Who is it?", "a cat"), pictures=[RED])], 2000)
    other = vlm.model(**longer.inputs, labels=longer.labels).logits[0]
    first = int(on[0].nonzero()[0])
    assert torch.allclose(logits[: first + 1], other[: first + 1], atol=1e-5)
    assert not torch.allclose(logits[first + 1 : first + 3], other[first + 1 : first + 3], atol=1e-5)

"""Small tokenizers and chat templates of the families in `miniature_hub`, of their true classes and forms.

Their pieces are learnt from the project's own concepts and questions. The special tokens are the true ones, in the true
order, and what the LLM before tuning has comes first, so that its vocabulary is a beginning of the tuned model's.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GemmaTokenizer, GPT2Tokenizer, LlamaTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from paperlib.study.study import CODE_ROOT

MERGES = 300
BYTES = [f"<0x{i:02X}>" for i in range(256)]

# ---------------------------------------------------------------- chat templates

LLAVA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' '}}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
ONEVISION = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\n' + content['text'] }}"
    "{% endfor %}{{'<|im_end|>'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
INTERNVL = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n'}}{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for content in message['content'] %}{% if content['type'] == 'image' %}"
    "{{ '<IMG_CONTEXT>\n' }}{% elif content['type'] == 'video' %}{{ '<video>\n' }}{% elif content['type'] == 'text' %}"
    "{{ content['text'] }}{% endif %}{% endfor %}{% endif %}{{'<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n' }}{% endif %}"
)
QWEN_VL = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif content['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SMOLVLM = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}{% for item in message['content'] %}"
    "{% if item['type'] == 'image' %}{{ '<start_of_image>' }}{% elif item['type'] == 'text' %}{{ item['text'] | trim }}"
    "{% endif %}{% endfor %}{% endif %}{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
PLAIN = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

CHATML = (  # with a place for what stands for a picture
    "{{% for m in messages %}}{{{{ '<|im_start|>' + m['role'] + '\n' }}}}{{% if m['content'] is string %}}"
    "{{{{ m['content'] }}}}{{% else %}}{{% for part in m['content'] %}}"
    "{{% if part['type'] == 'image' %}}{{{{ '{image}' }}}}"
    "{{% else %}}{{{{ part['text'] }}}}{{% endif %}}{{% endfor %}}{{% endif %}}{{{{ '<|im_end|>\n' }}}}{{% endfor %}}"
    "{{% if add_generation_prompt %}}{{{{ '<|im_start|>assistant\n' }}}}{{% endif %}}"
)

# ---------------------------------------------------------------- tokenizers


def llama(*extra: str, **settings: Any) -> Any:
    """Llama's: words begin with a low line, unknown characters are bytes, a beginning is added to each text."""
    vocab, merges = _pieces("low line")
    own = ["<unk>", "<s>", "</s>", *BYTES]
    made = LlamaTokenizer({p: i for i, p in enumerate([*own, *vocab])}, merges, add_bos_token=True, **settings)
    return _with(made, extra)


def qwen(*extra: str, **settings: Any) -> Any:
    """Qwen2's, by bytes."""
    vocab, merges = _pieces("bytes")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    made = Qwen2Tokenizer(
        {piece: i for i, piece in enumerate(vocab)},
        merges,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        **settings,
    )
    return _with(made, [*special, *extra])


def smol(*extra: str, **settings: Any) -> Any:
    """SmolLM2's, by bytes, of GPT-2's class; its special tokens come first."""
    vocab, merges = _pieces("bytes")
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    names = {"unk_token": special[0], "bos_token": special[1], "eos_token": special[2], "pad_token": special[2]}
    made = GPT2Tokenizer({piece: i for i, piece in enumerate([*special, *vocab])}, merges, **names | settings)
    return _with(made, [*special, *extra])


def gemma(*extra: str, **settings: Any) -> Any:
    """Gemma's: as Llama's, but no low line is put before the first word."""
    vocab, merges = _pieces("low line")
    own = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>", *BYTES]
    made = GemmaTokenizer({p: i for i, p in enumerate([*own, *vocab])}, merges, add_bos_token=True, **settings)
    return _with(made, ["<start_of_turn>", "<end_of_turn>", *extra])


def tokenizer_with(*special: str, template: str) -> Any:
    """A tokenizer of bytes alone, of no family, with special tokens."""
    common = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    words = [*common, *sorted(pre_tokenizers.ByteLevel.alphabet()), *special]
    backend = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    made = PreTrainedTokenizerFast(tokenizer_object=backend, additional_special_tokens=[*common[3:], *special], **names)
    made.chat_template = template
    return made


def _with(tokenizer: Any, special: Any) -> Any:
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.padding_side = "left"  # as all of them are on the hub
    return tokenizer


@functools.cache
def _pieces(kind: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Vocabulary and merges, learnt from the project's own concepts and questions."""
    learnt = Tokenizer(models.BPE())
    if kind == "bytes":
        learnt.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        first = pre_tokenizers.ByteLevel.alphabet()
    else:
        learnt.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
        first = [chr(i) for i in range(32, 127)] + ["▁", "\n"]
    trainer = trainers.BpeTrainer(
        vocab_size=len(first) + MERGES, initial_alphabet=sorted(first), limit_alphabet=len(first), show_progress=False
    )
    texts = [(CODE_ROOT / "data" / "concepts.toml"), (CODE_ROOT / "paperlib" / "tasks" / "questions.py")]
    learnt.train_from_iterator((text.read_text(encoding="utf-8") for text in texts), trainer)
    vocab = learnt.get_vocab()
    merges = json.loads(learnt.to_str())["model"]["merges"]
    return sorted(vocab, key=vocab.__getitem__), [tuple(merge) for merge in merges]

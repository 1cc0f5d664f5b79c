"""A LLaVA with a circuit planted by hand: what it says about a picture travels along one known way and no other.

The stream's 32 dimensions fall into four parts: what the connector writes at image tokens (RAW), what a block may make
of it there (MEANING), words (WORDS), and what the head reads (SAID). No block does anything, but for

- block `write`, whose MLP turns RAW into MEANING, at image tokens alone, since words have no RAW;
- block `read`, whose attention, uniform over all tokens that a query sees, copies MEANING (RAW, where nothing writes)
  to SAID.

So the logits at the answer's start depend on the picture through image tokens that block `write` changed and block
`read` looked at. Without that, SAID is 0, and so is every logit.
"""

import torch
from small_models import picture
from transformers import LlavaForConditionalGeneration

from paperlib.models.vlm import VLM, Batch, load_vlm

DEPTH = 6
RAW, MEANING, WORDS, SAID = (slice(i, i + 8) for i in (0, 8, 16, 24))


def planted(read: int | None, write: int | None = None) -> VLM:
    """The same weights whatever the two numbers, but in these blocks; None leaves the block out."""
    tiny, generator = load_vlm("tiny", device="cpu"), torch.Generator().manual_seed(0)
    config = tiny.model.config
    config.text_config.num_hidden_layers, config.tie_word_embeddings = DEPTH, False
    config.text_config.tie_word_embeddings = False
    model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(tiny.model.model.vision_tower.state_dict())

    def fill(weight, rows=slice(None), columns=slice(None)):
        noise = torch.randn(weight.shape, generator=generator)
        weight.zero_()
        weight[rows, columns] = noise[rows, columns]

    with torch.no_grad():
        fill(model.get_input_embeddings().weight, columns=WORDS)
        fill(model.lm_head.weight, columns=SAID)
        connector = model.model.multi_modal_projector
        fill(connector.linear_1.weight)
        fill(connector.linear_2.weight, rows=RAW)
        connector.linear_2.bias.zero_()
        for i, block in enumerate(model.get_decoder().layers):
            attention, mlp = block.self_attn, block.mlp
            fill(attention.v_proj.weight, columns=RAW if write is None else MEANING)
            fill(attention.o_proj.weight, rows=SAID)
            fill(mlp.gate_proj.weight, columns=RAW)
            fill(mlp.up_proj.weight, columns=RAW)
            fill(mlp.down_proj.weight, rows=MEANING)
            attention.q_proj.weight.zero_()
            attention.k_proj.weight.zero_()
            if i != read:
                attention.o_proj.weight.zero_()
            if i != write:
                mlp.down_proj.weight.zero_()
    return VLM(f"planted {read} {write}", model.eval(), tiny.processor)


def two_pictures(vlm: VLM, *seeds: int) -> Batch:
    """One question about two pictures."""
    return vlm.batch([vlm.prompt("What is it?")] * 2, [picture(seed) for seed in seeds or (0, 1)])


@torch.no_grad()
def said(vlm: VLM, batch: Batch) -> torch.Tensor:
    """Logits where the answer starts, [B, V]."""
    ends = [span.question[-1] for span in vlm.spans(batch)]
    return vlm.model(**batch).logits[range(len(ends)), ends]

"""A LLaVA of the shape of LLaVA-1.5-7B with arbitrary weights and as many blocks as asked for."""

import torch
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers.initialization import no_init_weights

from paperlib.models.assemble import _processor, build_tiny
from paperlib.models.vlm import VLM


def llava_shaped(blocks: int, dtype: torch.dtype, vision_layers: int = 2) -> VLM:
    """4096 wide, 11008 in the MLP, 32 heads, 32064 words, 576 image tokens; the tower 1024 wide. In evaluation mode."""
    tokenizer = build_tiny()[1].tokenizer
    text = LlamaConfig(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=blocks,
        num_attention_heads=32,
        vocab_size=32064,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=vision_layers,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        projection_dim=768,
    )
    torch.set_default_dtype(dtype)
    try:
        with no_init_weights():  # drawing billions of normal numbers takes longer than all that is measured
            model = LlavaForConditionalGeneration(
                LlavaConfig(
                    vision_config=vision,
                    text_config=text,
                    image_seq_length=576,
                    tie_word_embeddings=False,
                    image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
                )
            )
    finally:
        torch.set_default_dtype(torch.float32)
    noise = torch.randn(2**20 + 7, generator=torch.Generator().manual_seed(0)).mul(0.02).to(dtype)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.copy_(noise.repeat(weight.numel() // len(noise) + 1)[: weight.numel()].view_as(weight))
            else:
                weight.fill_(0 if name.endswith("bias") else 1)
    processor = _processor(tokenizer, 1, "default")
    processor.patch_size = 14
    processor.image_processor.size = processor.image_processor.crop_size = {"height": 336, "width": 336}
    return VLM("slice", model.eval(), processor)

"""Tiny vision-language models with random weights, built from transformers' config classes; no download."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CORPUS = [
    "What colour is the circle? It is red. How many squares are there? There are three blue squares.",
    "USER: ASSISTANT: system user assistant Read the text and the numbers 0 1 2 3 4 5 6 7 8 9. Yes or no.",
]
_LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ message.role | upper }}: "
    "{% for part in message.content %}{% if part.type == 'image' %}<image>\n{% else %}{{ part.text }} "
    "{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
_QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}"
    "{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny(architecture: str, seed: int = 0) -> tuple[Any, Any]:
    """A model in float32 and its processor: `llava` (LLaVA-1.5) or `qwen2_vl` (Qwen2-VL)."""
    torch.manual_seed(seed)
    model, processor = {"llava": _llava, "qwen2_vl": _qwen2_vl}[architecture]()
    return model.eval(), processor


def _tokenizer(special: list[str], **named: str) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, additional_special_tokens=special, **named
    )


def _llava() -> tuple[Any, Any]:
    tokenizer = _tokenizer(
        ["<pad>", "<s>", "</s>", "<image>"], pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    tower = transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    language = transformers.LlamaConfig(
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=len(tokenizer),
    )
    config = transformers.LlavaConfig(
        vision_config=tower,
        text_config=language,
        image_token_index=3,
        vision_feature_layer=-2,
        image_seq_length=4,
    )
    pictures = transformers.CLIPImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    processor = transformers.LlavaProcessor(
        pictures, tokenizer, patch_size=14, vision_feature_select_strategy="default", image_token="<image>",
        num_additional_image_tokens=1, chat_template=_LLAVA_TEMPLATE,
    )  # fmt: skip
    return transformers.LlavaForConditionalGeneration(config), processor


def _qwen2_vl() -> tuple[Any, Any]:
    special = [
        "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
        "<|video_pad|>",
    ]  # fmt: skip
    tokenizer = _tokenizer(special, pad_token="<|endoftext|>", eos_token="<|im_end|>")
    config = transformers.Qwen2VLConfig(
        text_config={
            "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": len(tokenizer),
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 2, 2], "rope_theta": 10000.0},
        },
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 48, "num_heads": 2, "mlp_ratio": 2},
        image_token_id=5, video_token_id=6, vision_start_token_id=3, vision_end_token_id=4,
    )  # fmt: skip
    pictures = transformers.Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=28 * 28 * 6)
    videos = transformers.Qwen2VLVideoProcessor()
    processor = transformers.Qwen2VLProcessor(
        pictures, tokenizer, video_processor=videos, chat_template=_QWEN_TEMPLATE
    )
    return transformers.Qwen2VLForConditionalGeneration(config), processor

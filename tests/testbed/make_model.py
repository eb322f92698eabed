# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes three small Qwen3 models with random weights that the real engine serves in seconds on a CPU.

Argument: the directory to make them in.  Run by the interpreter of the engine's virtual environment.  The result is the
same on every run.  The three differ as the real 32B, 8B and 1.7B do: in weights and in KV cache bytes per token.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

VOCABULARY = 512
END_OF_TEXT, START_OF_TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

# name -> hidden size, layers, heads, KV heads, head_dim, feed-forward size.  At least two KV heads, so that two ranks
# can share them; head_dim is not hidden_size / heads, as in the real ones.
SIZES = {
    "qwen3-medium": (512, 8, 8, 4, 128, 1536),
    "qwen3-mini": (256, 4, 4, 2, 128, 768),
    "qwen3-micro": (128, 2, 4, 2, 64, 384),
}
SENTENCES = [
    "The planner divides the memory of a device among the services that share it.",
    "A service is healthy when it has generated a token, and not before.",
    "Every generation on disk is kept until a later one has proved itself.",
    "Name three prime numbers below twenty, then explain why one is not prime.",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    f"{{{{ '{START_OF_TURN}' + message['role'] + '\\n' + message['content'] + '{END_OF_TURN}\\n' }}}}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{{{{ '{START_OF_TURN}assistant\\n' }}}}{{% endif %}}"
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer, which reads any text, of at most VOCABULARY entries."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[END_OF_TEXT, START_OF_TURN, END_OF_TURN],
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def make_model(directory: Path, tokenizer: PreTrainedTokenizerFast, size: tuple[int, ...]) -> None:
    """Write one model as a checkpoint of Hugging Face's layout, in shards when it has more than 16 MB."""
    hidden_size, layers, heads, kv_heads, head_dim, intermediate_size = size
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        intermediate_size=intermediate_size,
        max_position_embeddings=40960,
        tie_word_embeddings=hidden_size == min(sizes[0] for sizes in SIZES.values()),
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    torch.manual_seed(0)
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(directory, max_shard_size="16MB")
    tokenizer.save_pretrained(directory)


def main() -> None:
    """Make all of them."""
    tokenizer = make_tokenizer()
    for name, size in SIZES.items():
        make_model(Path(sys.argv[1]) / name, tokenizer, size)


if __name__ == "__main__":
    main()

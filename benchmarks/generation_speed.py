"""Tokens per second of generation by position, beside a decoder that caches.

    python -m benchmarks.generation_speed

Prints Markdown. Two causal language models of one size on CPU, float32: ours, whose
state does not grow, and KerasHub's `GPT2CausalLM`, which keeps every key and value (its
cache is as long as the sequence becomes; learned positions where ours are rotary). A
turn is some greedy tokens of each, from the same position; figures are medians of
turns, a ratio is of one turn. Before anything is timed, logits of steps are compared
with those of the parallel form of the same model: the exit code is 1, and no figure is
printed, where they differ.
"""

import argparse
import os
import statistics
import sys
import time

import keras
import keras_hub
import numpy as np
import tensorflow as tf

from benchmarks import memory
from keras_performer.models import PerformerBackbone, PerformerCausalLM
from keras_performer.models.presets import preset

VOCABULARY = 257
TOLERANCE = 1e-4
CHECKED = 50  # positions
SPAN = 4096  # tokens that are read at once


class Ours:
    """A causal language model of this project, a step at a time."""

    name = "keras-performer"

    def __init__(self, sizes, length):
        self.model = PerformerCausalLM(PerformerBackbone(**sizes, causal=True, seed=0))
        self.read = tf.function(self.model.backbone.stream, reduce_retracing=True)
        self.advance = tf.function(self._advance)

    def parallel(self, token_ids):
        return self.model(token_ids)

    def start(self, token_ids):
        """The state after tokens of shape (1, T)."""
        state = self.model.backbone.initial_state(1)
        for start in range(0, token_ids.shape[1], SPAN):
            state = self.read(tf.constant(token_ids[:, start : start + SPAN]), state)[1]
        return state

    def step(self, token, state, position):
        """Logits after one token of shape (1, 1), and the next state."""
        return self.advance(token, state)

    def _advance(self, token, state):
        vectors, state = self.model.backbone.stream(token, state)
        embedding = self.model.backbone.token_embedding
        return embedding(vectors, reverse=True)[:, -1], state


class Cached:
    """KerasHub's GPT-2 of the same sizes, with its cache of keys and values."""

    name = "KerasHub GPT-2 with its cache"

    def __init__(self, sizes, length):
        self.length = length
        backbone = keras_hub.models.GPT2Backbone(
            vocabulary_size=sizes["vocabulary_size"],
            num_layers=sizes["num_layers"],
            num_heads=sizes["num_heads"],
            hidden_dim=sizes["hidden_dim"],
            intermediate_dim=sizes["intermediate_dim"],
            dropout=0.0,
            max_sequence_length=length,
        )
        self.model = keras_hub.models.GPT2CausalLM(backbone)
        self.advance = tf.function(self._advance)

    def parallel(self, token_ids):
        padding_mask = np.ones_like(token_ids)
        return self.model({"token_ids": token_ids, "padding_mask": padding_mask})

    def start(self, token_ids):
        """A cache that holds as many positions; what it holds costs the same."""
        backbone = self.model.backbone
        shape = (1, backbone.num_layers, 2, self.length, backbone.num_heads)
        cache = tf.zeros((*shape, backbone.hidden_dim // backbone.num_heads))
        if token_ids.shape[1] <= CHECKED:  # the values matter
            for position, token in enumerate(token_ids[0]):
                _, cache = self.step(tf.constant([[token]]), cache, position)
        return cache

    def step(self, token, state, position):
        return self.advance(token, state, tf.constant(position))

    def _advance(self, token, state, position):
        logits, _, state = self.model.call_with_cache(token, state, position)
        return logits[:, -1], state


def main():
    arguments = parse()
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    sizes = preset(arguments.preset, vocabulary_size=VOCABULARY, dropout=0.0)
    for make in (Ours, Cached):
        check(make(sizes, CHECKED))
    print(
        f"| position | {Ours.name}, tokens/s | {Cached.name}, tokens/s | ratio "
        "| state, MiB | cache, MiB |\n|---|---|---|---|---|---|"
    )
    for position in arguments.positions:
        print(row(sizes, position, arguments), flush=True)
    print(f"\nMost memory held: {memory.peak() / 2**30:.2f} GiB")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positions", type=int, nargs="+", default=[100, 100_000])
    parser.add_argument("--preset", default="small")
    parser.add_argument("--tokens", type=int, default=8, help="of a turn")
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def check(decoder):
    """Ends the program where steps do not give what the parallel form gives."""
    token_ids = draw(CHECKED)
    whole = keras.ops.convert_to_numpy(decoder.parallel(token_ids))
    state = decoder.start(token_ids[:, : CHECKED - 3])
    for position in range(CHECKED - 3, CHECKED):
        token = tf.constant(token_ids[:, position : position + 1])
        logits, state = decoder.step(token, state, position)
        error = np.abs(logits - whole[:, position]).max() / np.abs(whole).max()
        if not error < TOLERANCE:
            sys.exit(f"No figures: a step of {decoder.name} is off by {error:.1e}")


def row(sizes, position, arguments):
    length = position + (arguments.turns + 1) * arguments.tokens + 1
    decoders = [make(sizes, length) for make in (Ours, Cached)]
    states = [decoder.start(draw(position)) for decoder in decoders]
    sizes_of = [sum(map(bytes_of, keras.tree.flatten(state))) for state in states]
    rates = [[], []]
    for turn in range(arguments.turns + 1):
        at = position + turn * arguments.tokens
        for index, decoder in enumerate(decoders):
            rate, states[index] = timed(decoder, states[index], at, arguments.tokens)
            if turn:  # the first compiles
                rates[index].append(rate)
    ours, theirs = map(statistics.median, rates)
    ratio = statistics.median(a / b for a, b in zip(*rates, strict=True))
    mebibytes = " | ".join(f"{size / 2**20:,.1f}" for size in sizes_of)
    return f"| {position:,} | {ours:.0f} | {theirs:.1f} | {ratio:.2f} | {mebibytes} |"


def timed(decoder, state, position, count):
    """Tokens per second of a turn, and the state behind it."""
    token = tf.constant([[1]])
    start = time.perf_counter()
    for offset in range(count):
        logits, state = decoder.step(token, state, position + offset)
        token = tf.argmax(logits, axis=-1, output_type="int32")[:, None]
        token.numpy()
    return count / (time.perf_counter() - start), state


def draw(length):
    return np.random.default_rng(0).integers(1, VOCABULARY, (1, length), dtype="int32")


def bytes_of(tensor):
    return tensor.dtype.size * int(np.prod(tensor.shape))


if __name__ == "__main__":
    main()

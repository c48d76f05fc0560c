"""A language model of bytes, trained on books, beside compressors and exact attention.

A causal Performer reads text byte by byte, without a vocabulary, and says how likely
each next byte is: how many bits the text would take if the model compressed it. The
measure is bits per byte of texts that it has not read, beside those of a unigram model
and of two compressors, and beside exact softmax attention trained with the same steps,
in the same blocks and in plain ones. Then it writes a text itself.

    python examples/byte_language_model.py

trains for a few minutes on the prose that comes with Python, its language reference.
On books of your own, a folder of `.txt` files with whole files held out (or with the
subfolders `train` and `test`), at a length where exact attention takes most of its time
for its squares:

    python examples/byte_language_model.py --data books --preset small \\
        --context 16384 --batch-tokens 16384 --cpu-minutes 600

At 8,192 bytes, where a batch is one window, a step of exact attention takes nine times
as long and three times the memory:

    python examples/byte_language_model.py --context 8192 --batch-tokens 8192 \\
        --steps 30 --attention relu exact

      Performer, relu features       3.433 ± 0.056, 30 steps, 28 s, 1,397 MiB
      exact attention                3.406 ± 0.056, 30 steps, 251 s, 4,283 MiB

With `--steps 270`, in about the time of those 30 of exact attention:

      Performer, relu features       1.900 ± 0.049, 270 steps, 262 s, 1,398 MiB

`--exact-window 64` gives the linear attention exact softmax to the nearest positions
besides; `--attention relu softmax exact` compares both maps of the paper (arXiv
2009.14794).

The small run printed, on two cores:

    Bits per byte of unseen texts:
      unigram                        4.709
      bz2                            2.687
      xz                             2.711
      xz that has read the training  1.827
      Performer, relu features       2.172 ± 0.072, 300 steps, 30 s, 1,030 MiB
      Performer, softmax features    2.279 ± 0.076, 300 steps, 43 s, 1,240 MiB
      exact attention                2.154 ± 0.074, 300 steps, 34 s, 1,299 MiB
      exact attention, plain blocks  3.172 ± 0.100, 300 steps, 26 s, 1,365 MiB

From the same steps linear attention learns what exact attention learns in the same
blocks, and a whole bit more than exact attention in the Transformer's plain ones.
"""

import argparse
import pathlib
import pydoc_data.topics
import tempfile

import common
import keras
import numpy as np

from keras_performer.models import PerformerCausalLM
from keras_performer.text import (
    ByteTokenizer,
    Documents,
    TokenWindows,
    shuffled_batches,
    tokenize_documents,
    tokenize_texts,
    train_test_split,
)
from keras_performer.training import (
    compressed_bits_per_byte,
    evaluate_language_model,
    performer_optimizer,
    unigram_bits,
)

HELD_OUT = 0.1  # of the texts
PROMPT_BYTES = 80
TOKENIZER = ByteTokenizer()


def parse(arguments=None):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, help="folder of .txt files")
    parser.add_argument("--context", type=common.positive, default=512)
    parser.add_argument("--batch-tokens", type=common.positive, default=1024)
    parser.add_argument("--exact-window", type=common.positive)
    parser.add_argument(
        "--test-bytes", type=common.positive, default=40_000, help="read of the test"
    )
    parser.add_argument("--sample-bytes", type=common.positive, default=300)
    common.add_flags(
        parser,
        ["relu", "softmax", "exact", "exact/plain"],
        preset="tiny",
        steps=300,
        learning_rate=3e-3,
    )
    return parser, common.parse(parser, arguments)


# === Data: texts on disk, to arrays of ids ===


def write_python_topics(directory):
    """Writes the prose that comes with Python, `train/*.txt` and `test/*.txt`.

    Some topics quote others: paragraphs of test topics are removed from the others.
    """
    topics = pydoc_data.topics.topics
    held_out = set(sorted(topics)[::6])
    unseen = {part for name in held_out for part in topics[name].split("\n\n")}
    for name, text in topics.items():
        parts = text.split("\n\n")
        if name not in held_out:
            parts = [part for part in parts if part not in unseen]
        path = directory / ("test" if name in held_out else "train") / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n\n".join(parts), encoding="utf-8")


def find_texts(directory):
    """The texts to train on and those to test on, as `Documents`."""
    halves = [directory / "train", directory / "test"]
    if all(half.is_dir() for half in halves):
        return [_texts_below(half) for half in halves]
    texts = _texts_below(directory)
    if len(texts) < 2:
        raise ValueError(
            f"{directory} has one text, {texts.paths[0]}. Expected two at least, since "
            "whole texts are held out: add one, or cut it in two files."
        )
    return train_test_split(texts, HELD_OUT)


def _texts_below(directory):
    paths = sorted(path for path in directory.rglob("*.txt") if path.stat().st_size)
    if not paths:
        raise ValueError(
            f"{directory} has no text. Expected a folder with files that end in .txt, "
            "at any depth."
        )
    return Documents(tuple(map(str, paths)), (0,) * len(paths), ("text",))


def unseen_text(documents, num_bytes):
    """Ids from the middle of each text, of all together at most `num_bytes`."""
    texts = [pathlib.Path(path).read_bytes() for path in documents.paths]
    share = max(num_bytes // len(texts), 1)
    starts = [max(len(text) - share, 0) // 2 for text in texts]
    middles = [
        text[start : start + share] for text, start in zip(texts, starts, strict=True)
    ]
    return np.concatenate(tokenize_texts(middles, TOKENIZER))


def to_bytes(ids):
    """The bytes of ids."""
    return (np.asarray(ids) - 1).clip(0).astype("uint8").tobytes()


# === Model and training ===


def train(windows, attention, arguments):
    """A causal language model, trained until its budget is spent."""
    keras.utils.set_random_seed(arguments.seed)
    backbone = common.backbone(
        arguments,
        attention,
        vocabulary_size=TOKENIZER.vocabulary_size,
        causal=True,  # and so with rotary positions
        exact_window=arguments.exact_window,
    )
    model = PerformerCausalLM(backbone)
    model.compile(
        performer_optimizer(),  # the budget sets the learning rate
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    budget = common.budget(arguments)
    callbacks = [budget, *common.resampling(arguments, backbone)]
    model.fit(
        shuffled_batches(windows, batch_size(arguments), arguments.seed),  # without end
        epochs=10**9,
        steps_per_epoch=100,  # over which the loss is averaged
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )
    return model, budget


def batch_size(arguments):
    """Windows of a batch."""
    return max(arguments.batch_tokens // arguments.context, 1)


# === Evaluation ===


def baselines(train_ids, test_ids):
    """Bits per byte without a neural network."""
    counts = np.bincount(train_ids, minlength=TOKENIZER.vocabulary_size)
    before, text = to_bytes(train_ids), to_bytes(test_ids)
    return {
        "unigram": unigram_bits(counts)[test_ids].mean(),
        "bz2": compressed_bits_per_byte(text, compressor="bz2"),
        "xz": compressed_bits_per_byte(text),
        "xz that has read the training": compressed_bits_per_byte(text, before),
    }


def describe(attention, arguments):
    """The name of a model in the table."""
    window = arguments.exact_window
    has_window = window is not None and not attention.startswith("exact")
    return common.label(attention) + (f", window {window}" if has_window else "")


def print_sample(model, prompt, arguments):
    """Lets a model continue the start of a test text."""
    written = model.generate(
        [prompt], arguments.sample_bytes, sampler="top_p", seed=arguments.seed
    )[0]
    print(
        f"\nAfter {to_bytes(prompt)!r}\nthe last Performer writes:\n"
        f"{to_bytes(written).decode('utf-8', 'replace')}"
    )


def main(arguments=None):
    """Runs the example; returns bits per byte by the names of the table."""
    parser, arguments = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or pathlib.Path(folder)
        if arguments.data is None:
            print("Texts: the language reference that comes with Python")
            write_python_topics(data)
        try:
            train_texts, test_texts = find_texts(data)
            train_ids = tokenize_documents(train_texts, TOKENIZER)
            windows = TokenWindows(
                train_ids, arguments.context, TOKENIZER.vocabulary_size
            )
        except ValueError as error:
            parser.error(str(error))
        test_ids = unseen_text(test_texts, arguments.test_bytes)
    print(
        f"{len(train_ids):,} bytes of {len(train_texts)} texts to train on, "
        f"{len(test_ids):,} of {len(test_texts)} others to test on"
    )
    results, performer = baselines(train_ids, test_ids), None
    lines = {name: f"{bits:.3f}" for name, bits in results.items()}
    for attention in arguments.attention:
        name = describe(attention, arguments)
        print(f"Training: {name}", flush=True)
        model, budget = train(windows, attention, arguments)
        measured = evaluate_language_model(
            model, test_ids, arguments.context, batch_size=batch_size(arguments)
        )
        results[name] = measured.bits_per_token
        lines[name] = (
            f"{measured.bits_per_token:.3f} ± {measured.standard_error:.3f}, {budget}"
        )
        if "exact" not in attention:  # whose state would grow
            performer = model
    common.print_table("Bits per byte of unseen texts:", lines)
    if performer is not None:
        print_sample(performer, test_ids[:PROMPT_BYTES], arguments)
    return results


if __name__ == "__main__":
    main()

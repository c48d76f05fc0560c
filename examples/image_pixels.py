"""Images pixel by pixel: bits per dimension, generated pictures, and completed ones.

A causal Performer reads an image in raster order, as a sequence of levels, and says how
likely each next one is. So it measures images (bits per dimension, the mean over all
pixels and colours), draws new ones, and completes half of one; with each new pixel in
constant time and memory, however large the image is. Beside it stand the frequencies of
levels, those at each place of the image, and exact softmax attention trained with
the same compute budget.

    python examples/image_pixels.py

trains for about a minute on scikit-learn's handwritten digits, 8 by 8 pixels of 17
levels (the extra `baselines`), and writes `image_pixels.png`. On
images of your own, in three colours of 256 levels, a sequence of size * size * 3:

    python examples/image_pixels.py --images photographs --size 64 \\
        --preset imagenet64 --batch-tokens 49152 --cpu-minutes 6000

For comparison, the paper's 6 layers on ImageNet at 64 by 64 (arXiv 2009.14794): 3.67
bits per dimension with ReLU features, 3.69 with softmax features.

The small run printed:

    Bits per dimension of unseen images:
      frequencies                  2.976
      frequencies at each place    2.424
      Performer, relu features     1.953, 200 steps, 43 s, 1,090 MiB
      Performer, softmax features  2.001, 200 steps, 66 s, 1,161 MiB
      exact attention              1.935, 200 steps, 40 s, 1,364 MiB
"""

import argparse
import math
import pathlib

import common
import keras
import numpy as np

from keras_performer.extras import pip_line
from keras_performer.models import PerformerCausalLM
from keras_performer.text import shuffled_batches
from keras_performer.training import performer_optimizer, unigram_bits

HELD_OUT = 0.2  # of the images
SUFFIXES = {".png", ".jpg", ".jpeg"}
SIZE = 32  # of images that are read, if none is given
COLUMNS = 12  # of the picture


def parse(arguments=None):
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=pathlib.Path, help="folder of PNG and JPEG")
    parser.add_argument(
        "--size", type=common.positive, help=f"of --images (default: {SIZE})"
    )
    parser.add_argument("--batch-tokens", type=common.positive, default=2048)
    parser.add_argument(
        "--test-images", type=common.positive, default=300, help="read of the test"
    )
    parser.add_argument(
        "--output", type=pathlib.Path, default="image_pixels.png", help="a picture"
    )
    common.add_flags(
        parser,
        ["relu", "softmax", "exact"],
        preset="tiny",
        steps=200,
        learning_rate=3e-3,
    )
    arguments = common.parse(parser, arguments)
    if arguments.size is not None and arguments.images is None:
        parser.error("--size is of --images: the digits have a size of their own")
    return parser, arguments


# === Data: images, to sequences of ids ===


def load_digits():
    """Handwritten digits: levels of shape (N, 8, 8, 1), and the number of levels."""
    try:
        from sklearn import datasets
    except ImportError as error:
        raise ImportError(
            "The digits come with scikit-learn. Install it with: "
            f"{pip_line('baselines')}, or pass --images."
        ) from error
    return datasets.load_digits().images.astype("uint8")[..., None], 17


def load_images(directory, size):
    """Images of a folder: levels of shape (N, size, size, 3), and their number."""
    check_pillow()
    paths = sorted(p for p in directory.rglob("*") if p.suffix.lower() in SUFFIXES)
    if len(paths) < 2:
        raise ValueError(
            f"{directory} has {len(paths)} images. Expected a folder with two at least "
            f"that end in {', '.join(sorted(SUFFIXES))}, at any depth."
        )
    return np.stack([load_image(path, size) for path in paths]), 256


def load_image(path, size):
    """Levels of shape (size, size, 3)."""
    try:
        image = keras.utils.load_img(path, target_size=(size, size))
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read as an image: {error}. Remove or replace it."
        ) from error
    return np.asarray(image, "uint8")


def check_pillow():
    """Raises an error where images can neither be read nor written."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Images are read and written by Pillow: pip install pillow"
        ) from error


def train_test_split(images, seed):
    """Images to train on, and images to test on."""
    order = np.random.default_rng(seed).permutation(len(images))
    held_out = max(round(HELD_OUT * len(images)), 1)
    return images[order[held_out:]], images[order[:held_out]]


def to_ids(images):
    """Ids of shape (N, L), in raster order with the colours of a pixel side by side.

    A level is its id minus 1, as 0 is padding.
    """
    return images.reshape(len(images), -1).astype("int32") + 1


def to_images(ids, shape, num_levels):
    """Images of levels of ids; the start's id, which is no level, becomes the last."""
    levels = np.clip(np.asarray(ids) - 1, 0, num_levels - 1)
    return levels.reshape(len(levels), *shape).astype("uint8")


class PixelSequences:
    """Random access to images, as `shuffled_batches` needs it.

    Inputs are the start and all pixels but the last, targets are all pixels.
    """

    def __init__(self, ids, start_id):
        self.targets = ids
        self.inputs = np.pad(ids[:, :-1], [(0, 0), (1, 0)], constant_values=start_id)

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.inputs[index], self.targets[index]


# === Model and training ===


def train(pixels, num_levels, attention, arguments):
    """A causal model of pixels, trained until its budget is spent."""
    keras.utils.set_random_seed(arguments.seed)
    length = pixels.inputs.shape[1]
    backbone = common.backbone(
        arguments,
        attention,
        vocabulary_size=num_levels + 2,  # and padding, and the start
        causal=True,
        positions="learned",  # a place of the image means the same in all of them
        max_sequence_length=length,
    )
    model = PerformerCausalLM(backbone)
    model.compile(
        performer_optimizer(),  # the budget sets the learning rate
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    batches = shuffled_batches(pixels, batch_size(length, arguments), arguments.seed)
    budget = common.budget(arguments)
    callbacks = [budget, *common.resampling(arguments, backbone)]
    model.fit(
        batches,  # without end
        epochs=10**9,
        steps_per_epoch=100,  # over which the loss is averaged
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )
    return model, budget


def batch_size(length, arguments):
    """Images of a batch."""
    return max(arguments.batch_tokens // length, 1)


# === Evaluation ===


def baselines(train_ids, test_ids, num_levels):
    """Bits per dimension without a neural network."""
    ids = num_levels + 1
    anywhere = unigram_bits(np.bincount(train_ids.ravel(), minlength=ids))
    places = [
        unigram_bits(np.bincount(at, minlength=ids))[test].mean()
        for at, test in zip(train_ids.T, test_ids.T, strict=True)
    ]
    return {
        "frequencies": anywhere[test_ids].mean(),
        "frequencies at each place": np.mean(places),
    }


def draw(model, ids, num_levels, shape, seed):
    """Rows of images: generated, given, and what the model makes of their first half.

    Returns:
        Levels of shape (3, COLUMNS, *shape).
    """
    length = ids.shape[1]
    start = np.full((COLUMNS, 1), num_levels + 1, "int32")
    given = ids[np.arange(COLUMNS) % len(ids)]
    prompts = np.concatenate([start, given[:, : length // 2]], axis=1)
    new = model.generate(start, length, sampler="random", seed=seed)
    rest = model.generate(prompts, length - length // 2, sampler="random", seed=seed)
    completed = np.concatenate([given[:, : length // 2], rest], axis=1)
    return np.stack(
        [to_images(row, shape, num_levels) for row in (new, given, completed)]
    )


def save_picture(path, rows, num_levels):
    """Writes rows of images as one picture."""
    rows = np.pad(
        rows, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)], constant_values=num_levels - 1
    )
    picture = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    scale = max(1, 640 // picture.shape[1])
    picture = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    picture = picture * (255.0 / (num_levels - 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    keras.utils.save_img(path, picture, data_format="channels_last", scale=False)


def main(arguments=None):
    """Runs the example; returns bits per dimension by the names of the table."""
    parser, arguments = parse(arguments)
    check_pillow()
    try:
        if arguments.images is None:
            images, num_levels = load_digits()
        else:
            images, num_levels = load_images(arguments.images, arguments.size or SIZE)
    except ValueError as error:
        parser.error(str(error))
    train_ids, test_ids = map(to_ids, train_test_split(images, arguments.seed))
    test_ids = test_ids[: arguments.test_images]
    start_id = num_levels + 1
    pixels = PixelSequences(train_ids, start_id)
    test = PixelSequences(test_ids, start_id)
    print(
        f"{len(train_ids):,} images to train on, {len(test_ids):,} others to test on, "
        f"each {train_ids.shape[1]:,} numbers of {num_levels} levels"
    )
    results, performer = baselines(train_ids, test_ids, num_levels), None
    lines = {name: f"{bits:.3f}" for name, bits in results.items()}
    for attention in arguments.attention:
        name = common.label(attention)
        print(f"Training: {name}", flush=True)
        model, budget = train(pixels, num_levels, attention, arguments)
        nats = model.evaluate(
            test.inputs,
            test.targets,
            batch_size=batch_size(train_ids.shape[1], arguments),
            verbose=0,
        )
        results[name] = nats / math.log(2)
        lines[name] = f"{results[name]:.3f}, {budget}"
        if "exact" not in attention:  # whose state would grow
            performer = model
    common.print_table("Bits per dimension of unseen images:", lines)
    if performer is not None:
        rows = draw(performer, test_ids, num_levels, images.shape[1:], arguments.seed)
        save_picture(arguments.output, rows, num_levels)
        print(
            f"\n{arguments.output}: generated images; images of the test; and those "
            "again, of which the last Performer was given the upper half"
        )
    return results


if __name__ == "__main__":
    main()

"""What the examples share: flags, backbones, a compute budget for each training."""

import argparse
import gc
import math
import pathlib
import re
import time

import keras

from keras_performer import feature_maps
from keras_performer.callbacks import RedrawProjections
from keras_performer.models import PerformerBackbone, presets
from keras_performer.models.block_stack import BLOCKS

WARM_UP = 0.05  # of the budget
PROCESS = pathlib.Path("/proc/self")  # what Linux tells of it
REPORTS = 4  # lines that a training prints
CLOCKS = {"cpu_minutes": time.process_time, "minutes": time.monotonic}


class TrainingBudget(keras.callbacks.Callback):
    """Ends a training when its budget is spent, for a fair comparison of models.

    The learning rate is a function of the share that is spent, of steps or of time: a
    linear warm-up from 0, then a cosine decay to 0. Time begins after the first step,
    in which TensorFlow builds the graph. As text it is what the training took: steps,
    processor seconds and, where Linux tells it, the most memory that the process held.

    Args:
        learning_rate: The highest.
        steps: Number of batches, or `None`.
        cpu_minutes: Minutes of this process on all cores together, or `None`. On a
            busy machine two trainings get the same nonetheless.
        minutes: Minutes by the clock, or `None`: for accelerators.

    Raises:
        ValueError: Unless one of the three is a positive number, and only one.

    Example:

    >>> budget = TrainingBudget(1e-3, steps=100)
    """

    def __init__(self, learning_rate, steps=None, cpu_minutes=None, minutes=None):
        super().__init__()
        amounts = {"steps": steps, "cpu_minutes": cpu_minutes, "minutes": minutes}
        given = {unit: amount for unit, amount in amounts.items() if amount is not None}
        if len(given) != 1 or not min(given.values()) > 0:
            raise ValueError(
                "A budget is a positive number of steps, CPU minutes or minutes: pass "
                f"one of them. Received: {given}"
            )
        [(self.unit, self.amount)] = given.items()
        self.learning_rate = learning_rate
        self.steps = 0
        self._start = None
        self._first_step = self._seconds = self._peak = 0
        self._share = 0.0  # that is spent
        self._reports = 0

    @property
    def is_spent(self):
        """Whether nothing is left."""
        return self._share >= 1

    def __str__(self):
        memory = f", {self._peak / 2**20:,.0f} MiB" if self._peak else ""
        return f"{self.steps} steps, {self._seconds:.0f} s{memory}"

    def on_train_begin(self, logs=None):
        gc.collect()
        if PROCESS.exists():
            (PROCESS / "clear_refs").write_text("5")  # the peak begins anew

    def on_train_end(self, logs=None):
        self._seconds = time.process_time() - self._first_step
        if PROCESS.exists():
            [peak] = re.findall(r"VmHWM:\s+(\d+)", (PROCESS / "status").read_text())
            self._peak = int(peak) * 2**10

    def on_train_batch_begin(self, batch, logs=None):
        rate = self.learning_rate * min(self._share / WARM_UP, 1.0)
        rate *= (1 + math.cos(math.pi * min(self._share, 1.0))) / 2
        self.model.optimizer.learning_rate = rate

    def on_train_batch_end(self, batch, logs=None):
        self.steps += 1
        if self.steps == 1:
            self._first_step = time.process_time()
        self._share = self._spent() / self.amount
        if self._share * REPORTS >= self._reports + 1:
            self._reports = int(self._share * REPORTS)
            print(f"  step {self.steps:>6}  loss {logs['loss']:.3f}", flush=True)
        if self.is_spent:
            self.model.stop_training = True

    def _spent(self):
        """What was spent, in the unit of the budget."""
        if self.unit == "steps":
            return self.steps
        now = CLOCKS[self.unit]() / 60
        if self._start is None:
            self._start = now
        return now - self._start


def add_flags(parser, attention, preset, steps, learning_rate):
    """Adds the flags of the models and of the budget of each training.

    Args:
        parser: An `argparse.ArgumentParser`.
        attention: List of the attentions that are trained by default.
        preset: Size of the models by default.
        steps: Budget by default.
        learning_rate: Learning rate by default.
    """
    parser.add_argument(
        "--attention",
        nargs="+",
        type=attention_name,
        default=attention,
        help="one model each: names of feature maps, such as relu and softmax, or "
        "exact; relu+exact for exact attention in the first of every four blocks; "
        "with /plain behind it, in the Transformer's plain blocks "
        f"(default: {' '.join(attention)})",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--preset", choices=presets.PRESETS, default=preset, help="size, by name"
    )
    size.add_argument("--depth", type=positive, help="size, by the number of blocks")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument(
        "--steps",
        type=positive,
        help=f"batches of each training (default: {steps})",
    )
    budget.add_argument("--minutes", type=float, help="minutes of each training")
    budget.add_argument(
        "--cpu-minutes",
        type=float,
        help="minutes of each training on all cores together",
    )
    parser.set_defaults(default_steps=steps)
    parser.add_argument("--learning-rate", type=float, default=learning_rate)
    parser.add_argument(
        "--redraw-interval",
        type=positive,
        default=100,
        help="steps after which random features are resampled",
    )
    parser.add_argument("--seed", type=int, default=0)


def parse(parser, arguments=None):
    """The parsed flags; what `argparse` cannot check is checked here."""
    arguments = parser.parse_args(arguments)
    try:
        budget(arguments)
    except ValueError as error:
        parser.error(str(error))
    return arguments


def budget(arguments):
    """The budget of one training, from the flags."""
    amounts = {
        "steps": arguments.steps,
        "minutes": arguments.minutes,
        "cpu_minutes": arguments.cpu_minutes,
    }
    if all(amount is None for amount in amounts.values()):
        amounts["steps"] = arguments.default_steps
    return TrainingBudget(arguments.learning_rate, **amounts)


def backbone(arguments, attention, **options):
    """A backbone of the size in the flags, with one of their attentions."""
    feature_map, exact, block = parts(attention)
    options = {"dropout": 0.0, "seed": arguments.seed, **options}
    if block:
        options["block"] = block
    size = (
        presets.preset(arguments.preset, **options)
        if arguments.depth is None
        else presets.of_depth(arguments.depth, **options)
    )
    if feature_map == "exact":
        size["attention"] = "exact"
    else:
        size["feature_map"] = feature_map
    if exact:
        size["attention"] = [
            "exact" if index % 4 == 0 else "linear"
            for index in range(size["num_layers"])
        ]
    return PerformerBackbone(**size)


def resampling(arguments, backbone):
    """List of the callback that resamples random features; empty if there are none."""
    if not backbone.redraws:
        return []
    return [RedrawProjections(arguments.redraw_interval, arguments.seed)]


def label(attention):
    """The name of an attention in a table."""
    feature_map, exact, block = parts(attention)
    mixed = ", one exact in four" if exact else ""
    name = f"Performer, {feature_map} features{mixed}"
    name = "exact attention" if feature_map == "exact" else name
    return f"{name}, {block} blocks" if block else name


def parts(attention):
    """What `relu+exact/plain` is made of: `("relu", "exact", "plain")`."""
    kind, _, block = attention.partition("/")
    feature_map, _, exact = kind.partition("+")
    return feature_map, exact, block


def print_table(heading, lines):
    """Prints a table of a name and a text in each line."""
    print(f"\n{heading}")
    width = max(map(len, lines)) + 2
    for name, text in lines.items():
        print(f"  {name:<{width}}{text}")


def attention_name(text):
    """The name of an attention, as in the help of the flag, for `argparse`."""
    kind, slash, block = text.partition("/")
    feature_map, plus, exact = kind.partition("+")
    if (plus and exact != "exact") or (slash and block not in BLOCKS):
        raise argparse.ArgumentTypeError(
            f"a name such as relu, exact, relu+exact or relu/plain, not {text!r}"
        )
    if kind != "exact":
        try:
            feature_maps.get(feature_map)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
    return text


def positive(text):
    """A positive integer, for `argparse`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a positive integer, not {text!r}")
    return int(text)

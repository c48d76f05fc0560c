"""Training by steps: exact wherever it was killed, clear where something is amiss."""

import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from killed import run_killed
from small_language_model import (
    SETTINGS,
    batch_of,
    batches_from,
    small_model,
    state,
)

from keras_performer.training import train_steps
from keras_performer.training.checkpoints.best_weights import BestWeights
from keras_performer.training.checkpoints.checkpoint import Checkpoint
from keras_performer.training.train_steps import best_when_high

VALIDATION = batch_of(10**6)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """From a mode to the state and the history of an uninterrupted training."""

    @functools.cache
    def trained(mode):
        model = small_model(mode=mode)
        folder = tmp_path_factory.mktemp(mode)
        history = train_steps(model, batches_from, folder=folder, **SETTINGS)
        return state(model), history

    return trained


def assert_equal_states(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "owner", "name", "when", "done"),
    [
        # Between the history's row after step 8 and the checkpoint there.
        ("eager", "os", "replace", 4, 4),
        ("graph", "os", "replace", 4, 4),
        # Before any checkpoint, and within a stretch.
        ("graph", "Callbacks", "on_train_batch_end", 3, 0),
        ("graph", "Callbacks", "on_train_batch_end", 7, 4),
        # Before the history; before the last checkpoint; when all is done.
        ("graph", "os", "replace", 3, 4),
        ("graph", "os", "replace", 6, 8),
        ("graph", "Callbacks", "on_train_end", 1, 10),
    ],
)
def test_a_killed_training_resumes_to_the_same_state(
    complete, tmp_path, mode, owner, name, when, done
):
    run_killed("small_language_model.py", [tmp_path, mode], owner, name, when)
    assert Checkpoint(tmp_path / "checkpoints").latest_step() == done
    asked = []

    def recorded(step):
        asked.append(step)
        return batches_from(step)

    # All of another seed's model is replaced, but where nothing was backed up.
    model = small_model(seed=5 if done else 0, mode=mode)
    history = train_steps(model, recorded, folder=tmp_path, **SETTINGS)
    assert asked == ([done] if done < 10 else [])
    assert_equal_states(state(model), complete(mode)[0])
    assert history == complete(mode)[1]


@pytest.mark.cases("3")
@pytest.mark.parametrize("checkpoint_every", [1, 3, 5, 100])
def test_an_epoch_goes_on_where_it_was_left(tmp_path, checkpoint_every):
    class Stopped(Exception):
        pass

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3 and int(self.model.optimizer.iterations) > 6:
                raise Stopped

    def train(name, callbacks=()):
        keras.utils.set_random_seed(0)
        model, seen = recording_model()
        history = train_steps(
            model,
            numbers_from,
            17,
            tmp_path / name,
            checkpoint_every=checkpoint_every,
            steps_per_epoch=7,
            validation_data=numbers(3),
            callbacks=callbacks,
            verbose=0,
        )
        return state(model), history, seen

    def numbers_from(step):
        # Batches of unequal size, so that a mean over an epoch is one over rows.
        for n in range(step, 1000):
            yield tuple(array[: 1 + n % 2] for array in numbers(n % 5))

    whole, history, _ = train("whole")
    assert [row["step"] for row in history] == [7, 14, 17]
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert all("val_loss" in row for row in history)
    with pytest.raises(Stopped):
        train("stopped", [Stop()])
    resumed, resumed_history, seen = train("stopped")
    assert resumed_history == history
    # It was stopped at step 11, before a checkpoint there.
    last = 7 + 3 // checkpoint_every * checkpoint_every
    assert seen[0] == last % 5
    assert_equal_states(resumed, whole)


def test_the_old_name_of_checkpoint_every_warns(tmp_path):
    model, _ = recording_model()
    with pytest.warns(DeprecationWarning, match="now called `checkpoint_every`"):
        history = train_steps(
            model, generator_from, 4, tmp_path, backup_every=2, verbose=0
        )
    assert [row["step"] for row in history] == [2, 4]


def test_a_training_of_an_older_version_goes_on(tmp_path):
    model, _ = recording_model()
    train_steps(model, generator_from, 4, tmp_path, checkpoint_every=2, verbose=0)
    (tmp_path / "checkpoints").rename(tmp_path / "backup")
    model, seen = recording_model()
    train_steps(model, generator_from, 6, tmp_path, checkpoint_every=2, verbose=0)
    assert seen == [4, 5]


@pytest.mark.slow
def test_other_intervals_and_longer_trainings_change_no_step(complete, tmp_path):
    settings = SETTINGS | {"num_steps": 7, "checkpoint_every": 5}
    model = small_model()
    first = train_steps(model, batches_from, folder=tmp_path, **settings)
    assert [row["step"] for row in first] == [5, 7]
    longer = small_model(seed=5)
    history = train_steps(longer, batches_from, folder=tmp_path, **SETTINGS)
    assert [row["step"] for row in history] == [5, 7, 10]
    assert_equal_states(state(longer), complete("eager")[0])


def test_a_complete_training_is_loaded_and_asks_for_no_batch(tmp_path):
    model = small_model()
    history = train_steps(model, batches_from, folder=tmp_path, **SETTINGS)
    loaded = small_model(seed=5)
    assert train_steps(loaded, None, folder=tmp_path, **SETTINGS) == history
    assert_equal_states(state(loaded), state(model))
    with pytest.raises(ValueError, match="done 10 steps, and num_steps=7"):
        train_steps(loaded, None, 7, tmp_path)


class Recorded(keras.layers.Layer):
    """Adds its weight; keeps the first input of each step in `seen`."""

    def build(self, shape):
        self.weight = self.add_weight(shape=(1,), name="weight")

    def call(self, x):
        return x + self.weight


def recording_model(**compiled):
    """A model that is trained on the numbers of steps, and those it has seen."""
    model = keras.Sequential([keras.Input((1,)), Recorded()])
    model.compile("sgd", "mse", jit_compile=False, run_eagerly=True, **compiled)
    seen = []
    call = model.layers[0].call

    def recorded(x, *arguments):
        seen.append(int(x[0, 0]))
        return call(x, *arguments)

    model.layers[0].call = recorded
    return model, seen


def numbers(step):
    return np.full((2, 1), step, "float32"), np.zeros((2, 1), "float32")


class Numbers(keras.utils.PyDataset):
    """The batches from a step on; `last` as in a range, or endless."""

    def __init__(self, step, last=None, **kwargs):
        super().__init__(**kwargs)
        self.step = step
        self.last = last

    @property
    def num_batches(self):
        return None if self.last is None else self.last - self.step

    def __getitem__(self, index):
        return numbers(self.step + index)


def tf_data_from(step):
    return tf.data.Dataset.range(step, 10**6).map(
        lambda n: (tf.fill([2, 1], tf.cast(n, tf.float32)), tf.zeros([2, 1]))
    )


def grain_from(step):
    grain = pytest.importorskip("grain")
    return grain.MapDataset.range(step, 1000).map(numbers)


def grain_iterator_from(step):
    grain = pytest.importorskip("grain")
    read = grain.ReadOptions(num_threads=2, prefetch_buffer_size=4)
    return grain.MapDataset.range(step, 1000).map(numbers).to_iter_dataset(read)


def generator_from(step):
    return (numbers(n) for n in range(step, 1000))


@pytest.mark.parametrize(
    "numbers_from",
    [
        generator_from,
        grain_from,
        (grain_iterator_from),
        tf_data_from,
        Numbers,
        (lambda step: Numbers(step, 1000)),
        lambda step: Numbers(step, workers=2),
        (lambda step: Numbers(step, 1000, workers=2)),
    ],
    ids=[
        "generator",
        "grain.MapDataset",
        "grain.IterDataset",
        "tf.data",
        "endless PyDataset",
        "PyDataset",
        "endless PyDataset of threads",
        "PyDataset of threads",
    ],
)
def test_each_batch_is_seen_once_in_order(tmp_path, numbers_from):
    for num_steps, expected in ((5, range(5)), (11, range(5, 11))):
        model, seen = recording_model()
        train_steps(
            model, numbers_from, num_steps, tmp_path, checkpoint_every=3, verbose=0
        )
        assert seen == [*expected]


@pytest.mark.filterwarnings("ignore:.*ran out of data:UserWarning")
@pytest.mark.parametrize("last", [5, 6, 8])
def test_data_that_ends_too_early_is_named(tmp_path, last):
    model, _ = recording_model()
    with pytest.raises(ValueError, match=r"no batch for step .*lower `num_steps`"):
        train_steps(
            model,
            lambda step: (numbers(n) for n in range(step, last)),
            9,
            tmp_path / "generator",
            checkpoint_every=3,
            verbose=0,
        )
    assert (
        Checkpoint(tmp_path / "generator" / "checkpoints").latest_step()
        == last // 3 * 3
    )
    for index, finite in enumerate(
        (
            lambda step: Numbers(step, last),
            lambda step: tf_data_from(step).take(last - step),
        )
    ):
        with pytest.raises(ValueError, match=f"has {last} batches.*step 9, 9: repeat"):
            train_steps(model, finite, 9, tmp_path / str(index), verbose=0)


def test_validation_the_best_weights_and_tensorboard(tmp_path):
    model = small_model()
    history = train_steps(
        model,
        batches_from,
        11,
        tmp_path,
        checkpoint_every=2,
        validation_data=VALIDATION,
        validate_every=4,
        tensorboard=True,
        verbose=0,
    )
    validated = [row["step"] for row in history if "val_loss" in row]
    assert [row["step"] for row in history] == [2, 4, 6, 8, 10, 11]
    assert validated == [4, 8, 11]
    best = BestWeights(tmp_path / "best.weights.h5")
    lowest = min(row["val_loss"] for row in history if "val_loss" in row)
    assert best.best()["loss"] == pytest.approx(lowest)
    assert best.best()["step"] in validated
    loaded = small_model(seed=5)
    best.load(loaded)
    loss = loaded.evaluate(*VALIDATION, verbose=0)[0]
    assert loss == pytest.approx(lowest, rel=1e-5)
    losses = {
        event.step: float(tf.make_ndarray(value.tensor))
        for path in (tmp_path / "tensorboard" / "train").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "epoch_loss"
    }
    assert [*losses.values()] == pytest.approx([row["loss"] for row in history])


@pytest.mark.cases("max-max")
@pytest.mark.parametrize(("mode", "choose"), [("min", min), ("max", max)])
def test_the_best_weights_by_another_measure(tmp_path, mode, choose):
    model = small_model()
    history = train_steps(
        model,
        batches_from,
        4,
        tmp_path,
        checkpoint_every=1,
        monitor="loss",
        monitor_mode=mode,
        verbose=0,
    )
    best = BestWeights(tmp_path / "best.weights.h5").best()
    assert best["loss"] == choose(row["loss"] for row in history)


def test_it_ends_where_there_are_no_more_gains(tmp_path):
    x = np.ones((4, 1), "float32")
    asked = []

    def batches_from(step):
        asked.append(step)
        return ((x, x) for _ in itertools.count())

    def trained(num_steps, patience):
        asked.clear()
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
        history = train_steps(
            model,
            batches_from,
            num_steps,
            tmp_path,
            checkpoint_every=2,
            monitor="loss",
            patience=patience,
            verbose=0,
        )
        return [row["step"] for row in history]

    assert trained(4, patience=3) == [2, 4]
    # The measurements of the call before count: 2 was the best, 8 the third after it.
    assert trained(20, patience=3) == [2, 4, 6, 8]
    assert asked == [4]
    assert trained(20, patience=3) == [2, 4, 6, 8]
    assert asked == []
    assert trained(20, patience=4) == [2, 4, 6, 8, 10]
    assert trained(14, patience=None)[-1] == 14
    assert BestWeights(tmp_path / "best.weights.h5").best()["step"] == 2
    with pytest.raises(ValueError, match="patience=0"):
        trained(20, patience=0)


@pytest.mark.parametrize(
    ("name", "mode", "expected"),
    [
        ("val_accuracy", "auto", True),
        ("acc", "auto", True),
        ("val_auc", "auto", True),
        ("val_loss", "auto", False),
        ("perplexity", "auto", False),
        ("val_accuracy", "min", False),
    ],
)
def test_which_measures_are_best_when_high(name, mode, expected):
    assert best_when_high(name, mode) is expected


def test_a_mode_that_is_none_is_refused():
    with pytest.raises(ValueError, match="monitor_mode='highest'"):
        best_when_high("loss", "highest")


@pytest.fixture
def policy(request):
    """The dtype policy of all layers that are made in a test."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@pytest.mark.slow
@pytest.mark.cases("mixed_float16")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"], indirect=True)
def test_mixed_precision_trains_and_resumes(tmp_path, policy):
    model = small_model()
    assert model.layers[1].compute_dtype == policy.removeprefix("mixed_")
    history = train_steps(model, batches_from, folder=tmp_path, **SETTINGS)
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert int(model.optimizer.iterations) == 3
    assert np.isfinite([row["loss"] for row in history]).all()

    loaded = small_model(seed=5)
    train_steps(loaded, None, folder=tmp_path, **SETTINGS)
    assert_equal_states(state(loaded), state(model))


def test_a_callback_that_stops_within_a_stretch_leaves_the_checkpoint(tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    model, seen = recording_model()
    history = train_steps(
        model, generator_from, 9, tmp_path, checkpoint_every=3, callbacks=[Stop()]
    )
    assert history == []
    train_steps(model, generator_from, 9, tmp_path, checkpoint_every=3, verbose=0)
    assert seen == [0, 1, *range(9)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_steps": 0}, "`num_steps` must be a positive integer.*num_steps=0"),
        ({"num_steps": True}, "num_steps=True"),
        ({"checkpoint_every": 2.5}, "checkpoint_every=2.5"),
        ({"validate_every": 3}, "`validate_every` needs `validation_data`"),
        (
            {"validate_every": 1, "validation_data": VALIDATION},
            "at least `checkpoint_every`.*validate_every=1, checkpoint_every=2",
        ),
        ({"validation_data": iter([VALIDATION])}, "read many times"),
        ({"redraw_interval": 0}, "`interval` must be a positive"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path, change, message):
    model, seen = recording_model()
    arguments = {"num_steps": 4, "checkpoint_every": 2, "verbose": 0} | change
    with pytest.raises(ValueError, match=message):
        train_steps(model, generator_from, folder=tmp_path, **arguments)
    assert seen == []


def test_models_that_cannot_be_trained_are_named(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="not compiled"):
        train_steps(model, generator_from, 1, tmp_path)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="not built: call it on a batch"):
        train_steps(model, generator_from, 1, tmp_path)
    model, _ = recording_model(steps_per_execution=2)
    with pytest.raises(ValueError, match=r"`num_steps` must be a multiple of .*, 2"):
        train_steps(model, generator_from, 3, tmp_path, checkpoint_every=2)

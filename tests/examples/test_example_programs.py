"""The examples: each runs at a tiny size, and says what it is to say."""

import importlib.util
import pathlib
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
TINY = ["--depth", "1", "--steps", "2", "--redraw-interval", "1"]


@pytest.fixture
def load(monkeypatch):
    """A function from the name of an example to its module."""
    monkeypatch.syspath_prepend(EXAMPLES)

    def module(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        loaded = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, loaded)
        spec.loader.exec_module(loaded)
        return loaded

    return module


@pytest.fixture
def eagerly():
    """Without graphs, whose making takes longer than so few steps."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def runs_eagerly(test):
    """Marks a test that runs without graphs; only `tf.data` warns that it keeps its."""
    ignored = pytest.mark.filterwarnings("ignore:Even though the `tf.config.experime")
    return pytest.mark.usefixtures("eagerly")(ignored(test))


def table(output):
    """The lines of the last table, as the numbers of each by its name."""
    output = output[output.rindex(" of unseen ") :]
    lines = re.findall(r"^  (\S.*?)  +([0-9].*)$", output, re.MULTILINE)
    return {
        name: [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]
        for name, text in lines
    }


def refusal(main, arguments, capsys):
    """What an example says as it refuses its flags."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    return " ".join(capsys.readouterr().err.split("error:")[1].split())


# === The budget ===


class Clock:
    """A clock that goes on by ten seconds whenever it is read."""

    seconds = 0

    def __call__(self):
        self.seconds += 10
        return self.seconds


def trained_rates(budget, batches=50):
    """The learning rates of the steps of a training."""
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    x = np.ones((batches, 1))
    model.fit(x, x, batch_size=1, callbacks=[budget, Rates()], verbose=0)
    return rates


def test_a_budget_of_steps_warms_up_and_ends(load):
    budget = load("common").TrainingBudget(0.1, steps=40)
    rates = trained_rates(budget)
    assert len(rates) == budget.steps == 40
    assert budget.is_spent
    assert rates[0] == 0
    assert rates[2] == max(rates) == pytest.approx(0.1, rel=0.01)  # 5 % of 40
    assert rates[20] == pytest.approx(0.05)
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_a_budget_of_time_begins_after_the_first_step(load, monkeypatch):
    common = load("common")
    clock = Clock()
    monkeypatch.setitem(common.CLOCKS, "minutes", clock)
    budget = common.TrainingBudget(0.1, minutes=5)
    rates = trained_rates(budget)
    assert budget.is_spent
    assert len(rates) == budget.steps == 31  # and ten seconds between two of them
    assert rates[:2] == [0, 0]
    assert rates[2] == pytest.approx(0.1 * (10 / 300) / 0.05, rel=0.01)
    assert rates[16] == pytest.approx(0.05)


@pytest.mark.parametrize("amounts", [{}, {"steps": 0}, {"steps": 1, "minutes": 1}])
def test_other_budgets_are_refused(load, amounts):
    with pytest.raises(ValueError, match="pass one of them"):
        load("common").TrainingBudget(0.1, **amounts)


def test_flags_that_mean_nothing_are_refused(load, capsys):
    main = load("byte_language_model").main
    assert "Unknown feature map" in refusal(main, ["--attention", "sofmtax"], capsys)
    assert "invalid choice" in refusal(main, ["--preset", "huge"], capsys)
    assert "positive number" in refusal(main, ["--minutes", "-1"], capsys)
    assert "positive integer" in refusal(main, ["--context", "0"], capsys)


# === Byte language model ===


@runs_eagerly
def test_byte_language_model(load, tmp_path, capsys):
    for index in range(4):
        text = f"It was the {index}th of times. " * 60
        (tmp_path / f"{index}.txt").write_text(text)
    results = load("byte_language_model").main(
        [*TINY, "--data", str(tmp_path), "--context", "32", "--batch-tokens", "64"]
        + ["--exact-window", "8", "--sample-bytes", "4", "--test-bytes", "200"]
        + ["--attention", "softmax", "exact"]
    )
    output = capsys.readouterr().out
    printed = table(output)
    names = ["unigram", "bz2", "xz", "xz that has read the training"]
    names += ["Performer, softmax features, window 8", "exact attention"]
    assert list(printed) == list(results) == names
    for name, bits in results.items():
        assert 0 < bits < 10
        assert printed[name][0] == pytest.approx(bits, abs=1e-3)
    costs = re.findall(r", 2 steps, \d+ s(?:, ([\d,]+) MiB)?$", output, re.MULTILINE)
    assert len(costs) == 2
    if sys.platform == "linux":  # TensorFlow alone has some hundred
        assert all(int(cost.replace(",", "")) > 100 for cost in costs)
    assert "the last Performer writes:" in output


def test_python_topics_are_held_out_with_all_quotations(load, tmp_path):
    example = load("byte_language_model")
    example.write_python_topics(tmp_path)
    train, test = (
        [pathlib.Path(path).read_text() for path in documents.paths]
        for documents in example.find_texts(tmp_path)
    )
    assert len(train) > len(test) > 5
    paragraphs = {part for text in train for part in text.split("\n\n")}
    held_out = {part for text in test for part in text.split("\n\n")}
    assert not paragraphs & held_out


def test_texts_that_cannot_be_read_are_refused(load, tmp_path, capsys):
    main = load("byte_language_model").main
    data = ["--data", str(tmp_path)]
    assert "has no text" in refusal(main, data, capsys)
    (tmp_path / "a.txt").write_text("abc" * 10)
    assert "whole texts are held out" in refusal(main, data, capsys)
    (tmp_path / "b.txt").write_text("abc" * 10)
    assert "smaller context_length" in refusal(main, data, capsys)


# === Masked proteins ===


@pytest.mark.slow
@runs_eagerly
def test_masked_proteins(load, capsys):
    results = load("masked_proteins").main(
        [*TINY, "--context", "128", "--batch-tokens", "256", "--test-residues", "600"]
        + ["--attention", "relu", "exact"]
    )
    output = capsys.readouterr().out
    assert "made up" in output
    printed = table(output)
    assert list(printed) == ["frequencies", "Performer, relu features"] + [
        "exact attention"
    ]
    for name, measured in results.items():
        assert 0 <= measured.accuracy <= 1
        assert 1 < measured.perplexity < 60
        assert printed[name][1] == pytest.approx(measured.perplexity, abs=0.01)
    assert printed["frequencies"][1] == pytest.approx(18, abs=2.5)


def test_made_up_organisms_have_families_in_common(load, tmp_path):
    example = load("masked_proteins")
    paths, held_out = example.write_made_up_organisms(tmp_path, seed=0)
    assert len(paths) == 4
    assert len(held_out) == 2
    [one, *_] = example.read_fasta(paths[0])
    [other, *_] = example.read_fasta(held_out[0])
    assert one.name == other.name
    pairs = {one.sequence[i : i + 3] for i in range(len(one.sequence))}
    found = [other.sequence[i : i + 3] in pairs for i in range(len(other.sequence))]
    assert 0.15 < np.mean(found) < 1


def test_mutations_are_as_frequent_as_asked(load):
    mutate = load("masked_proteins").mutate
    generator = np.random.default_rng(0)
    protein = np.full(10_000, "A")
    assert "".join(mutate(generator, protein, 0, 0)) == "A" * 10_000
    changed = np.mean(mutate(generator, protein, 0.4, 0) != "A")
    assert changed == pytest.approx(0.4 * 19 / 20, abs=0.02)
    assert len(mutate(generator, protein, 0, 0.1)) == pytest.approx(9_900, abs=150)


def test_odd_fasta_files_are_refused(load, tmp_path, capsys):
    main = load("masked_proteins").main
    path = str(tmp_path / "a.fasta")
    both = ["--fasta", path, "--held-out"]
    assert "belong together" in refusal(main, ["--fasta", path], capsys)
    assert "both to train and to test" in refusal(main, [*both, path], capsys)
    assert "cannot be read" in refusal(main, [*both, f"{path}.gz"], capsys)


# === Pixels ===


def save_noise(folder, number):
    """Writes images of 5 by 7 pixels."""
    generator = np.random.default_rng(0)
    for index in range(number):
        image = generator.integers(0, 256, (5, 7, 3))
        keras.utils.save_img(folder / f"{index}.png", image, scale=False)


@pytest.mark.slow
@runs_eagerly
def test_image_pixels(load, tmp_path, capsys):
    save_noise(tmp_path, 10)
    picture = tmp_path / "new" / "picture.png"
    results = load("image_pixels").main(
        [*TINY, "--attention", "softmax", "--images", str(tmp_path), "--size", "2"]
        + ["--batch-tokens", "48", "--output", str(picture)]
    )
    printed = table(capsys.readouterr().out)
    names = ["frequencies", "frequencies at each place", "Performer, softmax features"]
    assert list(printed) == list(results) == names
    for name, bits in results.items():
        assert 7 < bits < 9  # 256 levels of noise
        assert printed[name][0] == pytest.approx(bits, abs=1e-3)
    pixels = np.asarray(keras.utils.load_img(picture))
    assert pixels.shape[1] == 4 * pixels.shape[0]  # 12 images in each of 3 rows
    assert pixels.max() == 255  # the frame


def test_digits_are_more_regular_at_their_places(load):
    example = load("image_pixels")
    images, num_levels = example.load_digits()
    assert images.shape == (1797, 8, 8, 1)
    assert images.max() == num_levels - 1
    train, test = example.train_test_split(example.to_ids(images), seed=0)
    assert len(train) > 3 * len(test) > 900
    lines = example.baselines(train, test, num_levels)
    assert lines["frequencies at each place"] < lines["frequencies"] - 0.3 < 4


def test_images_of_a_folder(load, tmp_path):
    example = load("image_pixels")
    save_noise(tmp_path, 3)
    images, num_levels = example.load_images(tmp_path, size=4)
    assert images.shape == (3, 4, 4, 3)
    assert num_levels == 256
    ids = example.to_ids(images)
    assert ids[1, 4 * 3 + 2] == images[1, 1, 0, 2] + 1  # second line, blue
    np.testing.assert_array_equal(example.to_images(ids, (4, 4, 3), 256), images)


def test_images_that_cannot_be_read_are_refused(load, tmp_path, capsys):
    main = load("image_pixels").main
    assert "--size is of" in refusal(main, ["--size", "8"], capsys)
    images = ["--images", str(tmp_path)]
    assert "has 0 images" in refusal(main, images, capsys)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_text("no image")
    assert "a.png cannot be read" in refusal(main, images, capsys)


# === Document classification ===


@pytest.mark.slow
@runs_eagerly
def test_document_classification(load, tmp_path, capsys):
    for label, words in (("sea", "a whale of a ship "), ("land", "a horse, a hut ")):
        (tmp_path / label).mkdir()
        for index in range(4):
            (tmp_path / label / f"{index}.txt").write_text(f"{words} {index} " * 30)
    results = load("document_classification").main(
        [*TINY, "--data", str(tmp_path), "--context", "64", "--batch-tokens", "128"]
        + ["--vocabulary-size", "40", "--attention", "relu"]
    )
    printed = table(capsys.readouterr().out)
    names = ["the largest class", "TF-IDF", "words and pairs of words"]
    names.append("Performer, relu features")
    assert list(printed) == list(results) == names
    assert printed["words and pairs of words"][0] == 100.0
    assert printed["the largest class"] == [50.0]
    assert printed["TF-IDF"] == [100.0]
    assert 0 <= results["Performer, relu features"] <= 1


def test_a_missing_folder_is_refused(load, tmp_path, capsys):
    main = load("document_classification").main
    assert "cannot be read" in refusal(main, ["--data", f"{tmp_path}/no"], capsys)


def test_a_vocabulary_too_small_is_refused(load, tmp_path, capsys):
    for label in ("sea", "land"):
        (tmp_path / label).mkdir()
        for index in range(2):
            (tmp_path / label / f"{index}.txt").write_text("a whale of a ship")
    main = load("document_classification").main
    flags = ["--data", str(tmp_path), "--vocabulary-size", "3"]
    assert "at least 16" in refusal(main, flags, capsys)


# === At the size that they have by default ===
# By steps, about as many as a small machine makes: computing time would differ.


@pytest.mark.slow
def test_the_byte_language_model_learns(load):
    bits = load("byte_language_model").main(
        ["--steps", "400", "--attention", "softmax"]
    )
    assert bits["Performer, softmax features"] < bits["unigram"] - 0.8


@pytest.mark.slow
def test_the_masked_protein_model_learns(load):
    flags = ["--steps", "250", "--attention", "relu", "softmax"]
    for measured in load("masked_proteins").main(flags).values():
        assert measured.accuracy > 1.5 * measured.unigram_accuracy
        assert measured.perplexity < measured.unigram_perplexity - 1


@pytest.mark.slow
def test_the_pixel_model_learns(load, tmp_path):
    flags = ["--steps", "200", "--attention", "relu", "softmax"]
    output = ["--output", str(tmp_path / "pixels.png")]
    bits = load("image_pixels").main([*flags, *output])
    for name in ("Performer, relu features", "Performer, softmax features"):
        assert bits[name] < bits["frequencies at each place"]


@pytest.mark.slow
def test_the_document_classifier_learns(load):
    shares = load("document_classification").main(["--attention", "relu", "softmax"])
    for name in ("Performer, relu features", "Performer, softmax features"):
        assert shares[name] > shares["the largest class"] + 0.1
    assert shares["words and pairs of words"] > shares["TF-IDF"]

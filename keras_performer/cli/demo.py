"""`keras-performer demo`: all steps, from files on disk to answers over HTTP."""

import argparse
import hashlib
import pathlib
import shlex
import time
from typing import Any

import numpy as np

from keras_performer.cli import report
from keras_performer.cli.arguments.demo import LONG_DOCUMENT
from keras_performer.cli.output import json_output
from keras_performer.cli.python_corpus import build_python_corpus
from keras_performer.cli.train import settings
from keras_performer.export import export_classifier
from keras_performer.server import ServerOptions, ServerProcess, predict
from keras_performer.text import Documents
from keras_performer.training import ClassifierSettings, RunFolder, train_classifier
from keras_performer.training.checkpoints.atomic_write import atomic_write_text
from keras_performer.training.run_folder import fingerprint

MODEL_NAME = "documents"
NUM_NEIGHBOURS = 3
DEMO_FILES: dict[str, Any] = {"max_train_files": 90, "max_test_files": 30}
TIMEOUT = 600.0  # seconds for one request, of whole books on a small machine


def run(arguments: argparse.Namespace) -> None:
    """Runs the command."""
    with json_output(arguments.json) as write_json:
        measured = _run(arguments)
        if arguments.json:
            write_json(measured)


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    print(
        "Five steps: documents, training, accuracy, export, and a server that is asked."
    )
    work = pathlib.Path(arguments.work_dir)
    data = arguments.data
    if data is None:
        print(
            "About four minutes of two processor cores that nothing else uses.",
            flush=True,
        )
        data = work / "corpus"
        corpus = build_python_corpus(data, **DEMO_FILES)
        print(f"1. Documents: Python sources in {data}, held out by module")
        for name in corpus.train_files:
            print(
                f"   {name:<12} {corpus.train_files[name]:>4} to train on, "
                f"{corpus.test_files[name]:>3} to test on"
            )
    else:
        print(f"1. Documents: {data}")
    chosen = settings(arguments, data)
    if chosen.problem != "single_label":
        raise ValueError(
            "The demo shows one label a document. Received: "
            f"problem={chosen.problem!r}. Use `keras-performer train` for it."
        )
    folder = RunFolder(work / _run_name(chosen))

    print("2. Training", flush=True)
    train_classifier(chosen, folder.path, verbose=0 if arguments.quiet else "auto")

    print("3. Accuracy on unseen documents", flush=True)
    measured = report.evaluate(folder.path)

    print("4. Export", flush=True)
    version = _export(folder, arguments.saved_models)
    print(f"   {version}")

    print("5. Serving and asking", flush=True)
    answer = _ask(version, chosen)
    print(
        "Next, a server of your own, and in another terminal a question to it:\n"
        f"  keras-performer serve --model_name={MODEL_NAME} "
        f"--model_base_path={shlex.quote(str(version.parent))}\n"
        f"  keras-performer predict --model_name={MODEL_NAME} FILE"
    )
    run_folder, exported = str(folder.path), str(version)
    return {"run": run_folder, **measured, "export": exported, "served": answer}


def _run_name(chosen: ClassifierSettings) -> str:
    """A name for each choice of settings and documents."""
    train, _ = chosen.find_train_test()
    text = chosen.to_json() + str(fingerprint(train))
    return f"run-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _export(folder: RunFolder, saved_models: str) -> pathlib.Path:
    record = folder.path / "exported.txt"
    if record.exists():
        version = pathlib.Path(record.read_text().strip())
        if version.is_dir():
            return version
    version = export_classifier(
        folder.model(), folder.tokenizer(), folder.labels(), saved_models, MODEL_NAME
    )
    atomic_write_text(record, f"{version.resolve()}\n")
    return version


def _ask(version: pathlib.Path, chosen: ClassifierSettings) -> dict[str, Any]:
    _, test = chosen.find_train_test()
    long, others = _choose(test)
    text = test.read(long).decode()
    options = ServerOptions(
        model_name=MODEL_NAME,
        model_base_path=str(version.parent.resolve()),
        rest_api_port=0,
        rest_api_timeout_in_ms=0,
    )

    def ask(texts: list[str]) -> list[Any]:
        number = int(version.name)
        return predict(server.url, MODEL_NAME, texts, version=number, timeout=TIMEOUT)

    with ServerProcess(options) as server:
        start = time.perf_counter()
        [alone] = ask([text])
        latency = time.perf_counter() - start
        among_others = ask([test.read(i).decode() for i in others] + [text])[-1]
        memory = server.peak_memory()

    difference: float = np.max(
        np.abs(np.subtract(alone["probabilities"], among_others["probabilities"]))
    )
    truth = test.labels[test.label_ids[long]]
    print(
        f"   document     {test.name(long)} ({len(text.encode()):,} bytes, of {truth})"
    )
    print(f"   label        {alone['label']}")
    print(f"   probability  {np.max(alone['probabilities']):.4f}")
    print(f"   latency      {latency * 1000:.0f} ms, one REST request")
    print(f"   server       {memory / 2**20:.0f} MiB at its peak")
    print(
        f"   the same document in a batch with {len(others)} others: largest "
        f"difference of a probability {difference:.1e}"
    )
    if difference > 1e-4:
        raise RuntimeError(
            "The document's probabilities depend on its neighbours in the batch: "
            f"{alone['probabilities']} alone, {among_others['probabilities']} with "
            "them. This is a defect; please report it."
        )
    return {
        "document": test.name(long),
        "class": truth,
        **alone,
        "latency_ms": latency * 1000,
        "server_peak_bytes": memory,
    }


def _choose(documents: Documents) -> tuple[int, list[int]]:
    """The shortest long document, and the shortest ones as its neighbours."""
    by_size = sorted(range(len(documents)), key=documents.size)
    long = [index for index in by_size if documents.size(index) > LONG_DOCUMENT]
    if not long:
        print(f"   (no document has more than {LONG_DOCUMENT:,} bytes: the longest)")
    chosen = long[0] if long else by_size[-1]
    return chosen, [index for index in by_size if index != chosen][:NUM_NEIGHBOURS]

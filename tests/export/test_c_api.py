"""The exported folder runs from C, without Python: the nearest thing to a server."""

import pathlib
import shutil
import subprocess

import pytest
import tensorflow as tf
from exported_classifier import LABELS, TEXTS, expected

PROGRAM = pathlib.Path(__file__).with_name("classify.c")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
@pytest.mark.slow
def test_c_gets_the_same_label_and_probability(exported, tmp_path):
    import tensorflow_text

    library = pathlib.Path(tf.sysconfig.get_lib())
    operations = sorted(
        str(path)
        for path in (pathlib.Path(tensorflow_text.__file__).parent).rglob("*.so")
        if path.name.startswith("_")
    )
    executable = tmp_path / "classify"
    subprocess.run(
        [
            "gcc",
            str(PROGRAM),
            "-o",
            str(executable),
            f"-I{tf.sysconfig.get_include()}",
            f"-L{library}",
            "-l:libtensorflow_cc.so.2",
            "-l:libtensorflow_framework.so.2",
            f"-Wl,-rpath,{library}",
        ],
        check=True,
    )
    names = _tensor_names(exported[2])
    truth = expected(exported)
    for text, probabilities in zip(TEXTS, truth, strict=True):
        result = subprocess.run(
            [str(executable), str(exported[2]), *names, text, *operations],
            check=False,
            capture_output=True,
            text=True,
            env={"TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        assert result.returncode == 0, result.stderr
        label, probability = result.stdout.split()
        assert label == LABELS[probabilities.argmax()]
        assert float(probability) == pytest.approx(probabilities.max(), abs=1e-5)


def _tensor_names(path):
    tf1 = tf.compat.v1
    with tf1.Session(graph=tf.Graph()) as session:
        meta = tf1.saved_model.load(session, ["serve"], str(path))
    signature = meta.signature_def["serving_default"]
    outputs = signature.outputs
    return (
        signature.inputs["text"].name,
        outputs["label"].name,
        outputs["probabilities"].name,
    )

"""The notebook: from top to bottom on a machine without a TPU, and as it is stored."""

import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import keras_performer
from keras_performer.cli.main import parser

ROOT = Path(keras_performer.__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "tpu_colab.ipynb"


def sources(kind):
    """The texts of the cells of a kind, as they are in the file."""
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def printed(cell):
    """What a cell that was executed has printed."""
    return "".join(part.text for part in cell.outputs if part.output_type == "stream")


def test_no_outputs_are_stored():
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        assert cell["outputs"] == [] and cell["execution_count"] is None


def test_the_plan_that_is_shown_is_one_of_the_command():
    (command,) = re.findall(
        r"^    keras-performer (plan .*?)\n\n",
        "\n".join(sources("markdown")),
        re.MULTILINE | re.DOTALL,
    )
    arguments = parser().parse_args(command.replace("\\\n", " ").split())
    assert arguments.seq_len == 65536 and arguments.remat


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Runs the first cell where nothing is installed; returns what pip is given."""
    monkeypatch.chdir(tmp_path)

    def run(source="", returncode=0):
        commands = []
        with monkeypatch.context() as patch:
            patch.setattr(importlib.util, "find_spec", lambda name: None)
            patch.setattr(
                subprocess,
                "run",
                lambda command, **_: (
                    commands.append(command)
                    or subprocess.CompletedProcess(command, returncode, stderr="no")
                ),
            )
            cell = sources("code")[0]
            assert 'SOURCE = ""\n' in cell
            exec(cell.replace('SOURCE = ""', f"SOURCE = {source!r}"), {})
        (command,) = commands
        return command[command.index("-q") + 1 :]

    return run


def test_it_installs_a_wheel_beside_it_first(installed, tmp_path):
    for name in ("keras_performer-0.9-py3-none-any.whl", "other-1-py3-none-any.whl"):
        (tmp_path / name).touch()
    wheel = str(tmp_path / "keras_performer-0.9-py3-none-any.whl")
    assert installed("git+https://example.org/x") == [wheel, "jax"]


def test_it_installs_from_the_source_that_is_named_and_then_from_the_index(installed):
    assert installed("git+https://example.org/x")[0] == "git+https://example.org/x"
    assert installed() == ["keras-performer", "jax"]


def test_where_pip_fails_it_says_what_to_do(installed):
    with pytest.raises(RuntimeError, match=r"keras-performer: upload a wheel .*SOURCE"):
        installed(returncode=1)


@pytest.mark.slow
def test_it_runs_from_top_to_bottom_without_a_tpu(tmp_path, monkeypatch):
    pytest.importorskip("jax")
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    # Two devices, and compiling rather than running is what takes the time.
    monkeypatch.setenv(
        "XLA_FLAGS",
        "--xla_force_host_platform_device_count=2 "
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    )
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": os.fspath(tmp_path)}}
    )
    client.execute()  # raises what a cell raises

    lines = "".join(
        printed(cell) for cell in notebook.cells if cell.cell_type == "code"
    )
    assert re.search(r"on 2 of cpu", lines)
    bits = [float(number) for number in re.findall(r"([\d.]+) bits a byte", lines)]
    assert len(bits) == 2  # of JAX, and of TensorFlow
    assert all(1 < number < 8.01 for number in bits)
    assert "The " in lines
    assert re.search(r"Strategy, 1 replicas", lines)

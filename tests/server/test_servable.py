"""Loading a version: what comes with it, and what is said when it fails."""

import re

import numpy as np
import pytest
from served_models import edit_saved_model, save_everything

from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError


def load_error(path):
    with pytest.raises(ServingError) as raised:
        Servable(path)
    return raised.value


def test_a_servable_runs_its_signatures(everything_path):
    servable = Servable(everything_path / "1")
    signature = servable.get_signature("tokens")
    outputs = servable.run(signature, {"token_ids": np.array([[1, 2]], "int32")})
    np.testing.assert_array_equal(outputs["total"], [3])
    default = servable.get_signature("")
    assert default == servable.get_signature("serving_default")
    outputs = servable.run(default, {"text": np.array([b"abc"], object)})
    assert outputs["label"].tolist() == [b"odd"]  # its lookup table is initialized
    servable.close()


def test_versions_do_not_share_variables(tmp_path):
    servables = [
        Servable(save_everything(tmp_path, version, offset=float(version)))
        for version in (1, 2)
    ]
    sums = [
        servable.run(servable.get_signature("add"), {"x": np.zeros(1, "float32")})["y"]
        for servable in servables
    ]
    np.testing.assert_array_equal(sums, [[1], [2]])


def test_a_folder_without_a_model(tmp_path):
    error = load_error(tmp_path)
    assert error.code == "NOT_FOUND"
    assert "SavedModel file does not exist" in error.message


def test_a_damaged_model(tmp_path):
    path = save_everything(tmp_path)
    (path / "saved_model.pb").write_bytes(b"\xff" * 100)
    assert "Cannot parse file" in load_error(path).message


def test_missing_variables(tmp_path):
    path = save_everything(tmp_path)
    for file in (path / "variables").iterdir():
        file.unlink()
    assert load_error(path).code in ("NOT_FOUND", "UNKNOWN")


def test_a_model_with_other_tags(tmp_path):
    path = save_everything(tmp_path)
    edit_saved_model(path, lambda graph: graph.meta_info_def.tags.pop())
    error = load_error(path)
    assert error.code == "UNKNOWN"
    assert "serve" in error.message


def test_a_missing_op_names_the_pip_line(tmp_path):
    path = save_everything(tmp_path)

    def rename_op(graph):
        for function in graph.graph_def.library.function:
            for node in function.node_def:
                if node.op == "StringLength":
                    node.op = "WordpieceOfTheFuture"

    edit_saved_model(path, rename_op)
    message = load_error(path).message
    assert "'WordpieceOfTheFuture'" in message
    assert re.search(r"pip install .*\[text\]", message)
    assert re.search(r"TensorFlow 2\.\d+\.", message)


def test_errors_of_loading_tell_no_path_of_the_machine(tmp_path):
    path = save_everything(tmp_path / "m", 7)
    for file in (path / "variables").iterdir():
        file.unlink()
    for folder in (path, tmp_path / "m" / "8"):
        message = load_error(folder).message
        assert str(tmp_path) not in message
        assert f"m/{folder.name}" in message


def test_a_closed_servable_answers_no_more(everything_path):
    servable = Servable(everything_path / "1")
    signature = servable.get_signature("add")
    servable.close()
    with pytest.raises(ServingError, match="UNAVAILABLE"):
        servable.run(signature, {"x": np.zeros(1, "float32")})


def test_a_model_that_takes_rows_in_groups_asks_for_less(tmp_path):
    arrays = {"text": np.array([b"x"] * 1000 + [b"y" * 50_000], object)}
    path = save_everything(tmp_path)
    assert Servable(path).get_cost(arrays) == 1001 * 50_000
    file = path / "assets.extra" / "text_groups.json"
    file.parent.mkdir()
    for text, cost in (('{"max_group_bytes": 70000}', 70_000), ("[", 50_050_000)):
        file.write_text(text)
        assert Servable(path).get_cost(arrays) == cost
    file.write_text('{"max_group_bytes": 100}')
    assert Servable(path).get_cost(arrays) == 50_000

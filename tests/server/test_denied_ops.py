"""A SavedModel that reaches for files, network or Python is refused."""

import pytest
import tensorflow as tf
from google.protobuf import text_format
from served_models import edit_saved_model, save_everything
from tensorflow.core.protobuf import saved_model_pb2

from keras_performer.server.denied_ops import DENIED_OPS, find_denied_ops
from keras_performer.server.servable import Servable
from keras_performer.server.serving_error import ServingError


def save(path, function, *, module=None, spec=None):
    """Saves a model of one signature `serving_default`; returns its graph."""
    module = module or tf.Module()
    spec = spec or tf.TensorSpec([None], tf.string, "x")
    module.serve = tf.function(function, input_signature=[spec])
    tf.saved_model.save(module, str(path), signatures=module.serve)
    return read_graph(path)


def read_graph(path):
    data = (path / "saved_model.pb").read_bytes()
    return saved_model_pb2.SavedModel.FromString(data).meta_graphs[0]


def in_a_loop(x):
    return tf.while_loop(
        lambda i, y: i < 1, lambda i, y: (i + 1, tf.io.read_file(y)), (0, x[0])
    )[1]


def in_a_branch(x):
    return tf.cond(
        tf.size(x) > 9, lambda: tf.io.read_file("/etc/hostname"), lambda: x[0]
    )


def in_a_dataset(x):
    dataset = tf.data.Dataset.from_tensor_slices(x).map(tf.io.read_file)
    return dataset.reduce("", lambda a, b: a + b)


def write(x):
    tf.io.write_file("/tmp/never-written", x[0])
    return x


def restore(x):
    return tf.raw_ops.RestoreV2(
        prefix=x[0], tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.string]
    )[0]


@pytest.mark.parametrize(
    ("function", "denied"),
    [
        (lambda x: tf.io.read_file(x[0]), {"ReadFile"}),
        (write, {"WriteFile"}),
        (in_a_loop, {"ReadFile"}),
        (in_a_branch, {"ReadFile"}),
        (in_a_dataset, {"ReadFile"}),
        (lambda x: tf.io.matching_files(x), {"MatchingFiles"}),
        (lambda x: tf.numpy_function(lambda y: y, [x], tf.string), {"PyFunc"}),
        (restore, {"RestoreV2"}),
        (lambda x: tf.strings.upper(x), set()),
    ],
)
def test_ops_of_a_signature(tmp_path, function, denied):
    graph = save(tmp_path, lambda x: {"y": function(x)})
    assert find_denied_ops(graph) == denied


def test_prints_to_a_file(tmp_path):
    def to_file(x):
        tf.print(x, output_stream="file:///tmp/never-written")
        return {"y": x}

    def to_the_log(x):
        tf.print(x)
        return {"y": x}

    assert find_denied_ops(save(tmp_path / "1", to_file)) == {"PrintV2"}
    assert find_denied_ops(save(tmp_path / "2", to_the_log)) == set()


def test_a_table_of_the_models_own_assets(tmp_path):
    vocabulary = tmp_path / "vocabulary.txt"
    vocabulary.write_text("a\nb\n")
    module = tf.Module()
    module.table = tf.lookup.StaticVocabularyTable(
        tf.lookup.TextFileInitializer(
            str(vocabulary), tf.string, 0, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        ),
        1,
    )
    path = tmp_path / "1"
    graph = save(path, lambda x: {"y": module.table.lookup(x)}, module=module)
    assert find_denied_ops(graph) == set()
    assert Servable(path)
    edit_saved_model(
        path,
        lambda graph: setattr(graph.asset_file_def[0], "filename", "../../secret"),
    )
    with pytest.raises(ServingError, match=r"asset \.\./\.\./secret"):
        Servable(path)


def test_an_initializer_is_looked_into(tmp_path):
    """The op runs when the model is loaded, and no signature knows of it."""
    path = save_everything(tmp_path)

    graph = read_graph(path)
    [info] = graph.signature_def["__saved_model_init_op"].outputs.values()
    text_format.Merge(
        'node { name: "f" op: "Const" } node { name: "w" op: "WriteFile" '
        'input: "f" input: "f" }',
        graph.graph_def,
    )
    nodes = {node.name: node for node in graph.graph_def.node}
    assert find_denied_ops(graph) == set()  # it is there and does not run
    nodes[info.name.partition(":")[0]].input.append("^w")
    assert find_denied_ops(graph) == {"WriteFile"}


def test_a_model_that_is_refused_runs_nothing(tmp_path):
    written = tmp_path / "written"

    def function(x):
        tf.io.write_file(str(written), x[0])
        return {"y": x}

    path = tmp_path / "1"
    save(path, function)
    with pytest.raises(ServingError, match=r": WriteFile\..*--allow_ops=Wr") as raised:
        Servable(path)
    assert raised.value.code == "PERMISSION_DENIED"
    assert str(tmp_path) not in raised.value.message
    servable = Servable(path, allowed_ops=["WriteFile"])
    signature = servable.get_signature("")
    servable.run(signature, {"x": tf.constant(["text"]).numpy()})
    assert written.read_text() == "text"


def test_the_names_are_those_of_ops():
    from tensorflow.python.framework import op_def_registry

    unknown = {name for name in DENIED_OPS if op_def_registry.get(name) is None}
    assert unknown == set()

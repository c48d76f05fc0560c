"""Finds the ops of a SavedModel that reach beyond it: files, network, Python.

A SavedModel is a program. What is looked at is what a server would run: the signatures,
what initializes the model and what restores its weights, with all functions that these
call. Reading the model's own files is no reach: its weights, and its assets where they
are named by the folder `assets`.
"""

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Ops of TensorFlow 2.20 and tensorflow-text, reviewed by their inputs and kernels.
DENIED_OPS = frozenset(
    {
        "CSVDataset",
        "CSVDatasetV2",
        "CacheDataset",
        "CacheDatasetV2",
        "CalibrationStatisticsSaver",
        "CreateSummaryDbWriter",
        "CreateSummaryFileWriter",
        "DTensorRestoreV2",
        "DatasetToTFRecord",
        "DebugIdentity",
        "DebugIdentityV2",
        "DebugIdentityV3",
        "DebugNanCount",
        "DebugNumericSummary",
        "DistributedSave",
        "DumpTensor",
        "ExperimentalCSVDataset",
        "ExperimentalDatasetToTFRecord",
        "ExperimentalLMDBDataset",
        "ExperimentalMatchingFilesDataset",
        "ExperimentalSqlDataset",
        "FixedLengthRecordDataset",
        "FixedLengthRecordDatasetV2",
        "FixedLengthRecordReader",
        "FixedLengthRecordReaderV2",
        "FixedUnigramCandidateSampler",
        "GenerateVocabRemapping",
        "InitializeTableFromTextFile",
        "InitializeTableFromTextFileV2",
        "LMDBDataset",
        "LMDBReader",
        "ListSnapshotChunksDataset",
        "LoadAndRemapMatrix",
        "LoadDataset",
        "MatchingFiles",
        "MatchingFilesDataset",
        "MergeV2Checkpoints",
        "PrintV2",
        "ReadFile",
        "RecordInput",
        "Restore",
        "RestoreSlice",
        "RestoreV2",
        "Save",
        "SaveDataset",
        "SaveDatasetV2",
        "SaveSlices",
        "SaveV2",
        "Skipgram",
        "SnapshotChunkDataset",
        "SnapshotDataset",
        "SnapshotDatasetReader",
        "SnapshotDatasetV2",
        "SnapshotNestedDatasetReader",
        "SqlDataset",
        "TFRecordDataset",
        "TFRecordDatasetV2",
        "TFRecordReader",
        "TFRecordReaderV2",
        "TextLineDataset",
        "TextLineReader",
        "TextLineReaderV2",
        "WholeFileReader",
        "WholeFileReaderV2",
        "WriteFile",
        "DataServiceDataset",
        "DataServiceDatasetV2",
        "DataServiceDatasetV3",
        "DataServiceDatasetV4",
        "FileSystemSetConfiguration",
        "RegisterDataset",
        "RegisterDatasetV2",
        "RemoteCall",
        "RpcCall",
        "RpcClient",
        "RpcServer",
        "RpcServerRegister",
        "RpcServerStart",
        "Abort",
        "EagerPyFunc",
        "PyFunc",
        "PyFuncStateless",
        "XlaCustomCall",
        "XlaCustomCallV2",
    }
)

# Of these ops: the input with the name of a file, and whose file it may be.
_OWN_FILES = {
    "InitializeTableFromTextFile": (1, "asset"),
    "InitializeTableFromTextFileV2": (1, "asset"),
    "ReadFile": (0, "asset"),
    "RestoreV2": (0, "weights"),
}

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")

_INIT_COLLECTIONS = ("saved_model_main_op", "legacy_init_op")


def find_denied_ops(meta_graph: Any) -> set[str]:
    """Find what a server would run of a graph and should not.

    Args:
        meta_graph: a `MetaGraphDef`.

    Returns:
        The set of the names of such ops. A name `asset ...` stands for an asset that is
        no file of the folder `assets`.
    """
    walk = _Walk(meta_graph.graph_def.library.function)
    own_files = {
        _node_of(asset.tensor_info.name): "asset"
        for asset in meta_graph.asset_file_def
        if _is_plain(asset.filename)
    }
    own_files |= _find_asset_variables(meta_graph.graph_def, own_files)
    saver = meta_graph.saver_def
    if saver.filename_tensor_name:
        own_files[_node_of(saver.filename_tensor_name)] = "weights"
    walk.visit(meta_graph.graph_def.node, _find_roots(meta_graph), own_files)
    outside = {
        f"asset {asset.filename}"
        for asset in meta_graph.asset_file_def
        if not _is_plain(asset.filename)
    }
    return walk.denied | outside


@dataclass
class _Walk:
    """Visits each function once for each origin of its arguments."""

    library: Iterable[Any]
    denied: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._functions = {each.signature.name: each for each in self.library}
        self._seen: set[tuple[str, tuple[str, ...]]] = set()
        self._waiting: list[tuple[str, tuple[str, ...]]] = []

    def visit(
        self, nodes: Sequence[Any], roots: Iterable[str], origins: Mapping[str, str]
    ) -> None:
        """Visit what the roots need, and the functions that this calls."""
        self._visit(nodes, roots, origins)
        while self._waiting:
            function_name, argument_origins = self._waiting.pop()
            function = self._functions[function_name]
            names = [each.name for each in function.signature.input_arg]
            self._visit(
                function.node_def,
                None,
                dict(zip(names, argument_origins, strict=False)),
            )

    def _visit(
        self,
        nodes: Sequence[Any],
        roots: Iterable[str] | None,
        origins: Mapping[str, str],
    ) -> None:
        by_name = {node.name: node for node in nodes}
        run = nodes if roots is None else _find_ancestors(by_name, roots)
        for node in run:
            if node.op in DENIED_OPS and not _is_allowed(node, by_name, origins):
                self.denied.add(node.op)
            self._call(node, by_name, origins)

    def _call(
        self, node: Any, by_name: Mapping[str, Any], origins: Mapping[str, str]
    ) -> None:
        arguments = tuple(
            _find_origin(name, by_name, origins) for name in _data_inputs(node)
        )
        for function in _find_functions(node):
            # Of other ops, such as loops, it is not told which input becomes which.
            given = arguments if node.op in (*_CALLS, function) else ()
            call = function, given
            if function in self._functions and call not in self._seen:
                self._seen.add(call)
                self._waiting.append(call)


def _find_asset_variables(
    graph_def: Any, own_files: Mapping[str, str]
) -> dict[str, str]:
    """The nodes that read variables which hold the path of an asset and nothing else.

    TensorFlow stores the path of a vocabulary so, to initialize its table from it.
    """
    functions = graph_def.library.function
    names = collections.Counter(
        node.attr["shared_name"].s
        for nodes in (graph_def.node, *(each.node_def for each in functions))
        for node in nodes
        if node.op == "VarHandleOp"
    )
    consumers: dict[str, list[Any]] = {}
    handles = []
    for node in graph_def.node:
        if node.op == "VarHandleOp" and names[node.attr["shared_name"].s] == 1:
            handles.append(node.name)
        for name in node.input:
            consumers.setdefault(_node_of(name), []).append(node)
    readers: dict[str, str] = {}
    for handle in handles:
        of_handle = consumers.get(handle, [])
        assigned = [
            _node_of(node.input[1])
            for node in of_handle
            if node.op == "AssignVariableOp"
        ]
        harmless = {"AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp"}
        if (
            assigned
            and {own_files.get(name) for name in assigned} == {"asset"}
            and {node.op for node in of_handle} <= harmless
        ):
            readers |= {
                node.name: "asset" for node in of_handle if node.op == "ReadVariableOp"
            }
    return readers


def _is_allowed(
    node: Any, by_name: Mapping[str, Any], origins: Mapping[str, str]
) -> bool:
    if node.op == "PrintV2":
        return not node.attr["output_stream"].s.startswith(b"file://")
    if node.op not in _OWN_FILES:
        return False
    position, owner = _OWN_FILES[node.op]
    return _find_origin(_data_inputs(node)[position], by_name, origins) == owner


def _find_origin(
    name: str, by_name: Mapping[str, Any], origins: Mapping[str, str]
) -> str:
    """Whose file a tensor names: `"asset"`, `"weights"`, or `""` if it is not known."""
    for _ in range(len(by_name) + 1):
        name = _node_of(name)
        if name in origins:
            return origins[name]
        node = by_name.get(name)
        if node is None or node.op != "Identity":
            break
        name = node.input[0]
    return ""


def _find_roots(meta_graph: Any) -> Iterator[str]:
    for signature in meta_graph.signature_def.values():
        for info in signature.outputs.values():
            yield info.name
            yield from (each.name for each in info.composite_tensor.components)
            yield info.coo_sparse.values_tensor_name
            yield info.coo_sparse.indices_tensor_name
            yield info.coo_sparse.dense_shape_tensor_name
    for collection in _INIT_COLLECTIONS:
        yield from meta_graph.collection_def[collection].node_list.value
    yield meta_graph.saver_def.restore_op_name


def _find_ancestors(by_name: Mapping[str, Any], roots: Iterable[str]) -> Iterator[Any]:
    """The nodes that must run for the roots to run."""
    waiting = [_node_of(name) for name in roots]
    seen = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in by_name:
            continue
        seen.add(name)
        yield by_name[name]
        waiting += [_node_of(each) for each in by_name[name].input]


def _find_functions(node: Any) -> Iterator[str]:
    """The functions that a node calls, or hands on to be called."""
    yield node.op
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        yield from (each.name for each in value.list.func)


def _data_inputs(node: Any) -> list[str]:
    return [name for name in node.input if not name.startswith("^")]


def _node_of(tensor_name: str) -> str:
    return tensor_name.removeprefix("^").partition(":")[0]


def _is_plain(filename: str) -> bool:
    return bool(filename) and "/" not in filename and filename not in (".", "..")

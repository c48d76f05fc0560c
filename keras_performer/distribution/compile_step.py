"""Compiles a step for a TPU; a process of its own, with JAX as the backend of Keras.

`python -m keras_performer.distribution.compile_step RESULT` reads the settings of a
plan as JSON from its input and writes the compiler's numbers as JSON to RESULT.
"""

import json
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any

import jax
import keras
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from keras_performer.distribution.plan_settings import PlanSettings
from keras_performer.distribution.product_flops import product_flops
from keras_performer.distribution.tpu_topology import TpuTopology
from keras_performer.models import PerformerBackbone

# Which axis of a weight is divided over the devices that share the heads: queries, keys
# and values by heads; the feed-forward network by its hidden features.
LAYOUT: dict[str, tuple[str | None, ...]] = {
    r"/(query|key|value|gate)/kernel$": (None, "model", None),
    r"/(query|key|value|gate)/bias$": ("model", None),
    r"/forget_gate/kernel$": (None, "model"),
    r"/forget_gate/bias$": ("model",),
    r"/attention_output/kernel$": ("model", None, None),
    r"/feedforward_intermediate_dense/kernel$": (None, "model"),
    r"/feedforward_intermediate_dense/bias$": ("model",),
    r"/feedforward_output_dense/kernel$": ("model", None),
    r"/(query|key)_mean$": ("model", None),
    r"/(query|key)_square$": ("model", None, None),
}


def trace_step(settings: PlanSettings) -> Any:
    """Traces the step of a plan for its topology, with arguments that have no values.

    Args:
        settings: A `PlanSettings`.

    Returns:
        A `jax.stages.Traced`.
    """
    mesh = _mesh(settings)
    optimizer = keras.optimizers.Adam(1e-3)
    with keras.StatelessScope(initialize_variables=False):
        model = planned_model(settings)
        optimizer.build(model.trainable_variables)

    def arguments(variables: list[Any]) -> list[Any]:
        return [
            jax.ShapeDtypeStruct(
                variable.shape,
                variable.dtype,
                sharding=NamedSharding(mesh, PartitionSpec(*layout(variable.path))),
            )
            for variable in variables
        ]

    shape = (settings.batch, settings.seq_len)
    rows = NamedSharding(mesh, PartitionSpec("batch"))
    ids = jax.ShapeDtypeStruct(shape, "int32", sharding=rows)
    trainable = arguments(model.trainable_variables)
    non_trainable = arguments(model.non_trainable_variables)
    if settings.step == "forward":
        step = jax.jit(_forward_step(model))
        return step.trace(trainable, non_trainable, ids)
    weights = jax.ShapeDtypeStruct(shape, "float32", sharding=rows)
    step = jax.jit(_training_step(model, optimizer), donate_argnums=(0, 1, 2))
    state = (trainable, non_trainable, arguments(optimizer.variables))
    return step.trace(*state, ids, ids, weights)


def planned_model(settings: PlanSettings) -> Any:
    """Makes the model of a plan: token ids of shape (B, T) to logits (B, T, V).

    Inside a `keras.StatelessScope(initialize_variables=False)` its weights have shapes
    and no values.

    Args:
        settings: A `PlanSettings`.

    Returns:
        A `keras.Model`.
    """
    backbone = PerformerBackbone(
        vocabulary_size=settings.vocabulary_size,
        num_layers=settings.num_layers,
        num_heads=settings.num_heads,
        hidden_dim=settings.hidden_dim,
        intermediate_dim=settings.intermediate_dim,
        dropout=settings.dropout,
        feature_map=settings.feature_map,
        num_features=settings.num_features,
        seed=0,
        dtype=settings.dtype,
        causal=settings.causal,
        attention=settings.attention,
        remat=settings.remat,
    )
    logits = backbone.token_embedding(backbone.output, reverse=True)
    return keras.Model(backbone.input, logits)


def layout(path: str) -> tuple[str | None, ...]:
    """The axis of the mesh for each axis of a weight, by the weight's path.

    Adam's moments have the path of their weight with `_` for `/`, and go with it.

    Example:

    >>> layout("performer_encoder_0/self_attention_layer/query/kernel")
    (None, 'model', None)
    """
    for pattern, axes in LAYOUT.items():
        if re.search(pattern, path) or re.search(_of_moments(pattern), path):
            return axes
    return ()


def _of_moments(pattern: str) -> str:
    return pattern.replace("/", "_").replace("$", "_(momentum|velocity)$")


def _mesh(settings: PlanSettings) -> Any:
    topology = TpuTopology.parse(settings.topology)
    devices = topologies.get_topology_desc(
        platform="tpu", topology_name=str(topology), **topology.compiler_options
    ).devices
    grid = np.array(devices).reshape(settings.data_parallel, settings.model_parallel)
    return Mesh(grid, ("batch", "model"))


def _forward_step(model: Any) -> Callable[..., Any]:
    def step(trainable: Any, non_trainable: Any, token_ids: Any) -> Any:
        return model.stateless_call(trainable, non_trainable, token_ids)[0]

    return step


def _training_step(model: Any, optimizer: Any) -> Callable[..., Any]:
    def loss(
        trainable: Any, non_trainable: Any, token_ids: Any, targets: Any, weights: Any
    ) -> tuple[Any, Any]:
        logits, non_trainable = model.stateless_call(
            trainable, non_trainable, token_ids, training=True
        )
        losses = keras.ops.sparse_categorical_crossentropy(
            targets, keras.ops.cast(logits, "float32"), from_logits=True
        )
        total = keras.ops.sum(losses * weights)
        return total / keras.ops.maximum(keras.ops.sum(weights), 1), non_trainable

    gradients = jax.value_and_grad(loss, has_aux=True)

    def step(
        trainable: Any, non_trainable: Any, optimizer_state: Any, *batch: Any
    ) -> tuple[Any, ...]:
        (value, non_trainable), slopes = gradients(trainable, non_trainable, *batch)
        trainable, optimizer_state = optimizer.stateless_apply(
            optimizer_state, slopes, trainable
        )
        return trainable, non_trainable, optimizer_state, value

    return step


def measure(traced: Any) -> dict[str, Any]:
    """Compiles a traced step; returns the fields of a `CompiledPlan`."""
    compiled = traced.lower().compile()
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    return {
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "aliased": memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
        "product_flops": product_flops(traced.jaxpr.jaxpr),
        "flops": cost["flops"],
        "bytes_accessed": cost["bytes accessed"],
    }


def main(result: str) -> None:
    """Compiles the plan of the input and writes the result or the error."""
    settings = PlanSettings(**json.load(sys.stdin))
    try:
        outcome: dict[str, Any] = {"measured": measure(trace_step(settings))}
    except jax.errors.JaxRuntimeError as error:
        outcome = {"error": str(error)}
    pathlib.Path(result).write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

"""JAX: `lax.scan`, `jax.checkpoint`, `jax.jit`."""

import functools

import jax
import keras

from keras_performer.ops.backend import portable


def chunked_scan(step, carry, chunks, shared):
    """Folds `step` over the chunks of a sequence; see `portable.chunked_scan`."""

    def body(carry, chunk):
        return step(carry, chunk, shared)

    return jax.lax.scan(jax.checkpoint(body, prevent_cse=False), carry, chunks)


def remat(function, inputs):
    """Calls a function and keeps its inputs alone; see `portable.remat`."""
    return jax.checkpoint(function)(*inputs)


def custom_gradient(function):
    """A function whose gradient is written out; see `portable.custom_gradient`.

    `jax.custom_vjp` has no forward mode. The derivative in a direction is the transpose
    of the gradient.
    """

    @jax.custom_jvp
    @functools.wraps(function)
    def value_of(x):
        return function(x)[0]

    @value_of.defjvp
    def _(primals, tangents):
        value, gradient = function(*primals)
        return value, *jax.linear_transpose(gradient, value)(*tangents)

    return value_of


running_sums = portable.running_sums
without_gradients = portable.without_gradients
take_rows = portable.take_rows

# Not by `jax.custom_jvp`: what a checkpoint computes again forgets its rule.
softmax_with_constant_sum = portable.softmax_with_constant_sum


def compile_function(function, model, sampler=None):
    """Compiles a function of tensors; see `portable.compile_function`.

    `jax.jit` takes a function of the values of the variables too.
    """

    def seeds():
        return [] if sampler is None else list(sampler.variables)

    @jax.jit
    def stateless(weight_values, seed_values, *arguments):
        mapping = [
            *zip(model.variables, weight_values, strict=True),
            *zip(seeds(), seed_values, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = function(*arguments)
        return outputs, [scope.get_current_value(seed) for seed in seeds()]

    def call(*arguments):
        values = (
            [v.value for v in variables] for variables in (model.variables, seeds())
        )
        outputs, seed_values = stateless(*values, *arguments)
        for seed, value in zip(seeds(), seed_values, strict=True):
            seed.assign(value)
        return outputs

    return call

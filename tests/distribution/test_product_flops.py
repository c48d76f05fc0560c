"""The operations of matrix products, counted by hand and in traced functions."""

import pytest

jax = pytest.importorskip("jax")

from jax import numpy as jnp  # noqa: E402

from keras_performer.distribution.product_flops import product_flops  # noqa: E402


def count(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    return product_flops(jax.jit(function).trace(*arguments).jaxpr.jaxpr)


def test_a_product_of_batches():
    shapes = (5, 2, 3), (5, 3, 7)
    assert count(lambda x, y: x @ y, *shapes) == 2 * 5 * 2 * 3 * 7


def test_sums_of_elements_do_not_count():
    assert count(lambda x: jnp.sum(jnp.exp(x) * x), (5, 3)) == 0


def test_a_loop_counts_as_often_as_it_runs():
    def looped(x, y):
        return jax.lax.scan(lambda c, _: (c @ y, None), x, None, length=11)[0]

    assert count(looped, (2, 3), (3, 3)) == 11 * 2 * 2 * 3 * 3


def test_gradients_and_what_is_computed_again_count():
    def loss(x, y):
        return jnp.sum(jnp.sin(x @ y))

    one = 2 * 2 * 3 * 7
    shapes = (2, 3), (3, 7)
    assert count(jax.grad(loss, argnums=(0, 1)), *shapes) == 3 * one
    again = jax.grad(jax.checkpoint(loss), argnums=(0, 1))
    assert count(again, *shapes) == 4 * one


def test_a_loop_of_unknown_length_is_refused():
    def looped(x, y):
        return jax.lax.while_loop(lambda c: c.sum() < 9, lambda c: c @ y, x)

    with pytest.raises(ValueError, match=r"to be `jax.lax.scan`"):
        count(looped, (2, 3), (3, 3))

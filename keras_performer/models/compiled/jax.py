"""`compiled` on JAX: a function of the variables' values too, which `jax.jit` takes."""

import jax
import keras


def compiled(function, model, sampler=None):
    """Compiles a function of tensors; see `uncompiled.compiled`."""

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

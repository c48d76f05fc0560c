"""`chunked_scan` on JAX: `lax.scan` over a rematerialised step."""

import jax


def chunked_scan(step, carry, chunks, shared):
    """Folds `step` over the chunks of a sequence; see `unrolled.chunked_scan`."""

    def body(carry, chunk):
        return step(carry, chunk, shared)

    return jax.lax.scan(jax.checkpoint(body), carry, chunks)

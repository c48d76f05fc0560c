"""PyTorch: a loop each way, `torch.utils.checkpoint`, no compiler.

The loop is not `torch.utils.checkpoint`, which would do the same: `torch.compile` does
not support custom gradients inside of a checkpoint, and features have one.
"""

import functools

import torch
from torch.utils.checkpoint import checkpoint

from keras_performer.ops.backend import portable
from keras_performer.ops.backend.portable import cut


def chunked_scan(step, carry, chunks, shared):
    """Folds `step` over the chunks of a sequence; see `portable.chunked_scan`."""
    sizes = [len(carry), len(chunks), len(shared)]
    results = _Scan.apply(step, sizes, *carry, *chunks, *shared)
    return results[: len(carry)], results[len(carry) :]


def remat(function, inputs):
    """Calls a function and keeps its inputs alone; see `portable.remat`."""
    return checkpoint(function, *inputs, use_reentrant=False)


def custom_gradient(function):
    """A function whose gradient is written out; see `portable.custom_gradient`."""
    return functools.wraps(function)(functools.partial(_CustomGradient.apply, function))


def running_sums(x, axis):
    """Cumulative sums; `keras.ops.cumsum` narrows float64 to float32 here."""
    return torch.cumsum(x, dim=axis)


def softmax_with_constant_sum(logits):
    """Softmax without its sum's derivatives; see the form in `portable`."""
    return _SoftmaxWithConstantSum.apply(logits)


without_gradients = portable.without_gradients
take_rows = portable.take_rows


def compile_function(function, model, sampler=None):
    """Runs a function without gradients; see `portable.compile_function`."""
    return torch.no_grad()(function)


class _CustomGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, x):
        ctx.function = function
        ctx.save_for_backward(x)
        return function(x)[0]

    @staticmethod
    def backward(ctx, upstream):
        _, gradient = ctx.function(*ctx.saved_tensors)
        return None, gradient(upstream)


class _SoftmaxWithConstantSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits):
        values = torch.softmax(logits, dim=-1)
        ctx.save_for_backward(values)
        return values

    @staticmethod
    def backward(ctx, upstream):
        # The result, not what it is computed by: its gradient is again this one.
        (values,) = ctx.saved_tensors
        return upstream * values


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, step, sizes, *tensors):
        carry, chunks, shared = cut(tensors, sizes)
        carries, outputs = [], []
        for i in range(len(chunks[0])):
            carries.append(carry)
            carry, output = step(carry, tuple(x[i] for x in chunks), shared)
            outputs.append(output)
        ctx.step, ctx.sizes = step, sizes
        carries = [torch.stack(parts) for parts in zip(*carries, strict=True)]
        ctx.save_for_backward(*tensors, *carries)
        stacked = (torch.stack(parts) for parts in zip(*outputs, strict=True))
        return (*carry, *stacked)

    @staticmethod
    def backward(ctx, *upstream):
        count = sum(ctx.sizes)
        saved = ctx.saved_tensors  # once: a checkpoint hands them out no second time
        tensors, carries = saved[:count], saved[count:]
        if torch.is_grad_enabled():
            gradients = _differentiable_gradients(
                ctx.step, ctx.sizes, tensors, upstream
            )
            return (None, None, *gradients)
        _, chunks, shared = cut(tensors, ctx.sizes)
        d_carry, d_outputs = upstream[: len(carries)], upstream[len(carries) :]
        d_shared = [torch.zeros_like(x) for x in shared]
        d_chunks = []
        for i in reversed(range(len(chunks[0]))):
            arguments = [x[i] for x in (*carries, *chunks)] + list(shared)
            gradients = _step_gradients(
                ctx.step, ctx.sizes, arguments, (*d_carry, *(d[i] for d in d_outputs))
            )
            d_carry, d_chunk, d_step = cut(gradients, ctx.sizes)
            d_chunks.append(d_chunk)
            d_shared = [a + b for a, b in zip(d_shared, d_step, strict=True)]
        d_chunks = [torch.stack(x) for x in zip(*reversed(d_chunks), strict=True)]
        return (None, None, *d_carry, *d_chunks, *d_shared)


def _step_gradients(step, sizes, arguments, upstream):
    with torch.enable_grad():
        arguments = [x.detach().requires_grad_() for x in arguments]
        carry, output = step(*cut(arguments, sizes))
    return _gradients((*carry, *output), arguments, upstream)


def _differentiable_gradients(step, sizes, tensors, upstream):
    """Gradients that have gradients themselves: the loop keeps all it computes."""
    # As other tensors: the same one may stand in several places.
    tensors = [x.view_as(x) for x in tensors]
    carry, outputs = portable.chunked_scan(step, *cut(tensors, sizes))
    wanted = [x for x in tensors if x.requires_grad]
    gradients = iter(
        _gradients((*carry, *outputs), wanted, upstream, create_graph=True)
    )
    return [next(gradients) if x.requires_grad else None for x in tensors]


def _gradients(results, arguments, upstream, **options):
    pairs = zip(results, upstream, strict=True)
    results, upstream = zip(*((x, d) for x, d in pairs if x.requires_grad), strict=True)
    return torch.autograd.grad(
        results,
        arguments,
        upstream,
        allow_unused=True,
        materialize_grads=True,
        **options,
    )

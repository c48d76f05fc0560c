"""`CompilationError`: a step does not compile, in the compiler's words."""


class CompilationError(RuntimeError):
    """Raised where a step does not compile.

    Args:
        message: What the compiler says.
    """

    @property
    def out_of_memory(self):
        """Whether it is memory of the chip that the step lacks."""
        message = str(self)
        return message.startswith("RESOURCE_EXHAUSTED") and "hbm" in message.lower()

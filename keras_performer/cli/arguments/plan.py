"""The flags of `keras-performer plan`."""

from keras_performer.cli.arguments.flags import (
    Commands,
    HelpFormatter,
    add_json_flag,
)

# As in `models.presets` and of `PlanSettings`, whose modules import TensorFlow: a test
# compares them, and the defaults.
PRESETS = ("tiny", "small", "base", "large", "protein", "imagenet64")
ATTENTIONS = ("linear", "exact")
STEPS = ("training", "forward")
DTYPES = ("float32", "mixed_bfloat16", "bfloat16")
BLOCKS = ("plain", "gated")
OF_MODEL = {
    "num_layers": "blocks",
    "hidden_dim": "features of a position",
    "intermediate_dim": "hidden size of the feed-forward networks",
    "num_heads": "attention heads of a block",
    "vocabulary_size": "number of token ids",
}


def add_parser(commands: Commands, summary: str) -> None:
    """Adds the command to an `argparse` subparsers object, with a line about it."""
    parser = commands.add_parser(
        "plan",
        help=summary,
        description="Compiles the whole step of a model (forward, loss, gradients, "
        "Adam's update) ahead of time with the compiler of TPUs, and prints what it "
        "takes of each device. No TPU is needed. Exit status 1: it does not compile, "
        "or does not fit; the compiler's words say why. Needs the extra "
        "keras-performer[tpu].",
        epilog="example: keras-performer plan --topology v5e:4x4 --preset protein "
        "--seq-len 65536 --batch 16 --remat",
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument
    add(
        "--topology",
        required=True,
        help="chips, such as v5e:4x4, v4:2x2x1, v5p:2x2x2, v6e:8x8 or tpu7x:2x2x1",
    )
    add(
        "--seq-len",
        type=int,
        required=True,
        help="tokens of a sequence; with --find-longest where the search starts",
    )
    add(
        "--batch",
        type=int,
        required=True,
        help="sequences of a step, on all chips together",
    )
    add(
        "--preset",
        default="protein",
        choices=PRESETS,
        help="sizes of the model; the flags that follow change one of them each",
    )
    for name, text in OF_MODEL.items():
        add(f"--{name.replace('_', '-')}", type=int, help=f"{text} (the preset's)")
    add(
        "--causal",
        action="store_true",
        default=None,
        help="a position sees those at and before it only (the preset's)",
    )
    add(
        "--attention",
        default="linear",
        choices=(*ATTENTIONS, "favor"),  # the old name, of which `PlanSettings` warns
        metavar=f"{{{','.join(ATTENTIONS)}}}",
        help="linear, or that of softmax",
    )
    add(
        "--step",
        default="training",
        choices=STEPS,
        help="training, or a forward pass alone",
    )
    add(
        "--dtype",
        default="mixed_bfloat16",
        choices=DTYPES,
        help="dtype policy of the layers",
    )
    add("--block", default="gated", choices=BLOCKS, help="kind of the blocks")
    add("--feature-map", default="relu", help="by its name")
    add("--num-features", type=int, help="random features of a head (default: D log D)")
    add("--dropout", type=float, default=0.1, help="dropout rate")
    add(
        "--remat",
        action="store_true",
        help="compute each block again in the backward pass instead of keeping it",
    )
    add(
        "--model-parallel",
        type=int,
        default=1,
        help="devices that share the heads of one model; the others share the batch",
    )
    add(
        "--find-longest",
        action="store_true",
        help="look for the longest sequence that fits; each trial is a compilation",
    )
    add_json_flag(parser, "what the compiler found as one JSON document")

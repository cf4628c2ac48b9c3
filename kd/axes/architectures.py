"""Facts about each architecture (the `model_type` of transformers)."""

from dataclasses import dataclass, replace

from kd.axes.shapes import Shape


@dataclass(frozen=True)
class Arch:
    """One architecture; the defaults are those of BERT."""

    obstacle: str | None = None  # why its queries, keys and values cannot be captured
    ffn: str = "intermediate_size"  # name of the feed-forward size in its config
    reserved: int = 0  # rows of its position table that are for no token
    shared_layers: bool = False  # the weights of one layer serve several layers
    remark: str = ""  # to its attention knowledge
    dropout: bool = True  # its published models have some
    rotary: bool = False  # positions are rotations of pairs of dimensions of a head
    position_table: bool = True  # learned, one row a position
    fused: bool = False  # Q, K and V are one matrix, which is not cut to fewer or smaller heads
    pad: str | None = "[PAD]"  # its tokenizer's padding, where tokenizer_config.json names none


_DISENTANGLED = Arch(
    "adds terms of position to Q K^T in attention code of its own, "
    "which does not go through transformers' AttentionInterface",
    position_table=False,
)
ARCHS: dict[str, Arch] = {
    "bert": Arch(),
    "roberta": Arch(reserved=2, pad="<pad>"),
    "xlm-roberta": Arch(reserved=2, pad="<pad>"),
    "camembert": Arch(reserved=2, pad="<pad>"),
    "distilbert": Arch(ffn="hidden_dim"),
    "electra": Arch(),
    "albert": Arch(shared_layers=True, pad="<pad>"),
    "modernbert": Arch(
        rotary=True,
        position_table=False,
        dropout=False,
        remark=", without the window of local layers (above 65 tokens)",
        pad=None,
    ),
    "deberta": replace(_DISENTANGLED, fused=True),
    "deberta-v2": _DISENTANGLED,  # v3 too
    "mpnet": Arch(
        "adds a bias of relative position to Q K^T in attention code of its own, "
        "which does not go through transformers' AttentionInterface",
        reserved=2,
        pad="<pad>",
    ),
}
SCRATCH_ARCHS = ("bert", "roberta", "distilbert", "electra", "albert", "modernbert")
_INNER_WIDTH = ("mobilebert",)  # another entry of their config is the width of most weights
_UNCHECKED = Arch("is not among the encoders whose attention this project has checked")


def arch_facts(arch: str) -> Arch:
    """The row of an architecture. One without a row is treated like BERT."""
    return ARCHS.get(arch, _UNCHECKED)


def attention_obstacle(arch: str) -> str | None:
    """Why queries, keys and values of an architecture cannot be captured; None if they can."""
    obstacle = arch_facts(arch).obstacle
    return f"{arch} {obstacle}" if obstacle else None


def shape_obstacle(arch: str, shape: Shape, teacher: Shape | None = None) -> str | None:
    """Why an architecture has no encoder of this shape; None if it has one. With the shape of a
    teacher, also why it can have no student of this shape."""
    if arch in _INNER_WIDTH and teacher and replace(shape, layers=teacher.layers) != teacher:
        return (
            f"students of {arch} can differ from their teacher ({teacher}) only in the number of "
            f"layers, because its layers have a width of their own"
        )
    if arch_facts(arch).rotary and shape.head_size % 2:
        return f"{arch} rotates pairs of dimensions, but a head of {shape} has {shape.head_size}"
    return None

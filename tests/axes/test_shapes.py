"""How student shapes are written, their sizes against real models, shapes of equal size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, BertModel

from kd.axes.equal_size import MEASURES, parse_iso, same_size, sizes_text
from kd.axes.shapes import NAMED, Shape, default_heads, parse_shape
from kd.cli.main import main
from kd.encoders.build import shaped_config, sizes
from kd.runtime.errors import UserError

any_shape = st.builds(
    lambda layers, heads, size, ffn: Shape(layers, max(heads * size, 16), heads, ffn),
    st.integers(1, 96),
    st.sampled_from([1, 2, 4, 8, 16]),
    st.integers(1, 128).map(lambda n: 4 * n),
    st.integers(1, 9999),
)


def bert(shape):
    with torch.device("meta"):
        return BertModel(shaped_config(AutoConfig.for_model("bert"), shape))


# --- spelling ---------------------------------------------------------------------------------


def test_spellings():
    full = parse_shape("6L-384-12h-1536")
    assert full == parse_shape("6L-384") == parse_shape("6l-384") == parse_shape("minilm-l6")
    assert str(full) == "6L-384-12h-1536"
    assert parse_shape("tinybert4") == Shape(4, 312, 12, 1200)


@given(any_shape)
def test_a_shape_is_read_as_it_is_written(shape):
    assert parse_shape(str(shape)) == shape


@given(st.integers(1, 96), st.integers(16, 8192))
def test_the_short_form_is_a_shape_for_every_width(layers, hidden):
    shape = parse_shape(f"{layers}L-{hidden}")
    assert (shape.layers, shape.hidden, shape.ffn) == (layers, hidden, 4 * hidden)
    assert shape.head_size * shape.heads == hidden


@pytest.mark.parametrize(
    ("hidden", "heads"),
    [(768, 12), (384, 12), (312, 12), (1024, 16), (512, 8), (256, 4), (128, 2), (64, 1), (32, 2)],
)
def test_default_heads_follow_the_literature(hidden, heads):
    assert default_heads(hidden) == heads


def test_the_24_miniatures_can_be_written_short():
    for layers in (2, 4, 6, 8, 10, 12):
        for hidden in (128, 256, 512, 768):
            wanted = Shape(layers, hidden, hidden // 64, 4 * hidden)  # Turc et al. 2019
            assert parse_shape(f"{layers}L-{hidden}") == wanted


@pytest.mark.parametrize("bad", ["6L", "6-384", "0L-384", "6L-384-5h-10", "6L-384-12h-0", "bert"])
def test_what_is_no_shape(bad):
    with pytest.raises(UserError, match="found"):
        parse_shape(bad)


def test_every_name_has_a_source_that_can_be_found():
    for name, row in NAMED.items():
        assert "arXiv:" in row.source, name
        assert parse_shape(name) == row.shape


# --- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", {row.shape for row in NAMED.values()}, ids=str)
def test_sizes_are_those_of_a_real_model(shape):
    found = sizes(bert(shape))
    assert found["parameters"] == shape.parameters()
    assert found["nonembedding_parameters"] == shape.nonembedding_parameters


# Millions of parameters as published, and how near: papers round, and some leave the pooler out.
PUBLISHED = {
    "bert-base": ("110", 1),
    "bert-large": ("335", 1),  # Turc et al.; 340 in Devlin et al.
    "bert-medium": ("41.7", 0.5),
    "bert-small": ("29.1", 0.5),
    "bert-mini": ("11.3", 0.2),
    "bert-tiny": ("4.4", 0.05),
    "distilbert": ("66", 1.1),  # has neither token types nor pooler
    "pkd6": ("67", 0.5),
    "pkd3": ("45.7", 0.05),
    "tinybert6": ("67", 0.5),
    "tinybert4": ("14.5", 0.15),
    "minilm-l12": ("33", 0.5),
    "minilm-l6": ("22", 0.8),
    "xtremedistil-l12-384": ("33", 0.5),
    "xtremedistil-l6-384": ("22", 0.8),
    "xtremedistil-l6-256": ("13", 0.5),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_that_were_published(name):
    millions, near = PUBLISHED[name]
    assert NAMED[name].shape.parameters() / 1e6 == pytest.approx(float(millions), abs=near)


def test_the_vocabulary_counts():
    shape = parse_shape("minilm-l12")
    assert shape.parameters(1000) - shape.parameters(900) == 100 * 384


@pytest.mark.parametrize("shape", [Shape(2, 32, 4, 48), Shape(3, 24, 2, 100)], ids=str)
@pytest.mark.parametrize("tokens", [1, 7, 64])
def test_flops_are_those_that_torch_counts(shape, tokens):
    """Torch counts the pooler too: 2 x hidden^2, once per sequence."""
    model = bert(shape)
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, tokens, dtype=torch.long, device="meta"))
    assert counter.get_total_flops() == shape.flops(tokens) + 2 * shape.hidden**2


@given(any_shape, st.sampled_from(["layers", "hidden", "ffn"]))
def test_more_of_anything_is_larger_by_every_measure(shape, part):
    parts = {"layers": shape.layers, "hidden": shape.hidden, "ffn": shape.ffn}
    larger = Shape(**{**parts, part: 2 * parts[part]}, heads=shape.heads)
    for name, measure in MEASURES.items():
        assert measure.size(larger) > measure.size(shape), name
    assert shape.flops(11) > shape.flops(10)


# --- equal sizes ------------------------------------------------------------------------------


@given(
    st.sampled_from(["6L-384", "12L-768", "8L-512", "tinybert4", "bert-tiny"]),
    st.sampled_from(sorted(MEASURES)),
    st.integers(1, 24),
)
def test_no_other_width_is_nearer(reference, measure, depth):
    reference, size = parse_shape(reference), MEASURES[measure].size

    def distances(step):
        return {
            width: abs(size(Shape(depth, width, 1, 4 * width)) / size(reference) - 1)
            for width in range(24, 8193, step)
        }

    step = 12 if min(distances(12).values()) <= 0.05 else 4
    nearest = min(distances(step).values())
    if depth == reference.layers:
        assert same_size(reference, measure, [depth]) == [(reference, 0)]
    elif nearest > 0.05:
        with pytest.raises(UserError, match=f"layers: found {depth}, where no width"):
            same_size(reference, measure, [depth])
    else:
        ((shape, deviation),) = same_size(reference, measure, [depth])
        assert (shape.layers, shape.ffn) == (depth, 4 * shape.hidden)
        assert shape.heads == default_heads(shape.hidden)
        assert abs(deviation) == pytest.approx(nearest) == distances(step)[shape.hidden]


def test_deeper_is_narrower():
    for measure in MEASURES:
        shapes = [shape for shape, _ in same_size(parse_shape("6L-768"), measure, range(1, 25))]
        widths = [shape.hidden for shape in shapes]
        assert widths == sorted(widths, reverse=True), measure


def test_an_axis_of_equal_size():
    found = parse_iso({"iso-params": "minilm-l6", "layers": [12, 6, 2]})
    assert [str(s) for s, _ in found] == ["12L-300-12h-1200", "6L-384-12h-1536", "2L-516-12h-2064"]
    others = [parse_iso({f"iso-{m}": "6L-384", "layers": [2]})[0][0].hidden for m in MEASURES]
    assert len(set(others)) == len(MEASURES), "two measures are the same"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"iso-param": "6L-384", "layers": [2]}, "key: found 'iso-param'.*mean iso-params"),
        ({"layers": [2]}, "found no measure, allowed: one of iso-params"),
        ({"iso-params": "6L-384", "iso-flops": "6L-384", "layers": [2]}, "iso-params, iso-flops"),
        ({"iso-params": 6, "layers": [2]}, "iso-params: found 6, allowed: a shape"),
        ({"iso-params": "6L384", "layers": [2]}, "iso-params: found '6L384'"),
        ({"iso-params": "6L-384"}, "layers: found None, allowed: a list of depths"),
        ({"iso-params": "6L-384", "layers": 2}, "layers: found 2"),
        ({"iso-params": "6L-384", "layers": []}, "layers: found"),
        ({"iso-params": "6L-384", "layers": [0]}, "from 1 to 96"),
        ({"iso-params": "6L-384", "layers": [True]}, "from 1 to 96"),
        ({"iso-params": "6L-384", "layers": [2, 2]}, "each depth once"),
        ({"iso-params": "2L-32", "layers": [96]}, "found 96, where no width.*% off"),
        ({1: "6L-384", "layers": [2]}, "key: found 1"),
    ],
)
def test_what_is_no_axis_of_equal_size(value, message):
    with pytest.raises(UserError, match=message):
        parse_iso(value)


# --- the table for people ---------------------------------------------------------------------


def test_the_table_names_and_sizes():
    text = sizes_text([(parse_shape("distilbert"), None)])
    assert "67.0 M" in text and "43.1 M" in text and "11.17 GFLOPs" in text
    assert "distilbert, pkd6" in text and "deviation" not in text
    assert "-1.3%" in sizes_text(same_size(parse_shape("6L-384"), "params", [12]))


def test_the_command(capsys):
    assert main(["shapes"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in NAMED)
    assert main(["shapes", "8L-512", "--same", "flops", "--layers", "2,8"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for wrong in (["6L384"], ["6L-384", "--same", "params"], ["6L-384", "--layers", "2"]):
        assert main(["shapes", *wrong]) == 2, wrong
    assert main(["shapes", "6L-384", "--same", "params", "--layers", "2,x"]) == 2
    assert "layers: found [2, 'x']" in capsys.readouterr().err

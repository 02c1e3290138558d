"""A model with several maps: every table of figures says which of them it judges, and JSON has it under `output`."""

import json

import onnx
import pytest
from onnx import helper

NOTE = "judged: output 'y', not 'aux'"
COMMANDS = {
    "evaluate alone": ("evaluate", "MODEL", "--data", "DATA"),
    "evaluate": ("evaluate", "MODEL", "--reference", "MODEL", "--data", "DATA"),
    "sensitivity": ("sensitivity", "MODEL", "--data", "DATA", "--limit", 1, "--no-left-float"),
    "search": ("search", "MODEL", "--data", "DATA", "--effort", "fast", "--max-iou-drop", 90, "--evaluations", 1),
    "compare": ("compare", "MODEL", "--data", "DATA", "--rounds", 1),
}


@pytest.fixture
def two_maps(float_model, tmp_path):
    """The network with a second output that is like the first."""
    model = onnx.load(float_model)
    model.graph.node.append(helper.make_node("Relu", ["y"], ["aux"], name="aux"))
    aux = onnx.ValueInfoProto()
    aux.CopyFrom(model.graph.output[0])
    aux.name = "aux"
    model.graph.output.append(aux)
    path = tmp_path / "two.onnx"
    onnx.save(model, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_names_the_output_where_there_are_several(quantseg, two_maps, float_model, images, tmp_path, name):
    file = tmp_path / "f.json"
    told = {}
    for model in (two_maps, float_model):
        words = [{"MODEL": model, "DATA": images}.get(word, word) for word in COMMANDS[name]]
        more = ("-o", tmp_path / "m.onnx") if name == "search" else ()
        done = quantseg(*words, "--threads", 1, "--json", file, "--force", *more)
        assert done.code == 0, done.err
        told[model] = done.out
        values = json.loads(file.read_text())
        assert (values["compared"][1]["evaluation"] if name == "compare" else values)["output"] == "y"
    assert told[two_maps].count(NOTE) == 1
    assert "judged: output" not in told[float_model]


def test_another_output_is_judged_where_it_is_named(quantseg, two_maps, images):
    done = quantseg("evaluate", two_maps, "--data", images, "--output-name", "aux", "--threads", 1)
    assert "judged: output 'aux', not 'y'" in done.out

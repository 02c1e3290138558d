"""Runs a job inside a guest: models on the processor that this interpreter runs on. numpy and onnxruntime alone.

    python guest.py FOLDER

FOLDER/job.json: the tasks. Arrays lie beside it, raw; what is made is told in FOLDER/made.json.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(folder):
    job = json.loads((folder / "job.json").read_text())
    made = [_task(folder, number, task, job["threads"]) for number, task in enumerate(job["tasks"])]
    (folder / "made.json").write_text(json.dumps(made))


def _task(folder, number, task, threads):
    try:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{task['level'].upper()}")
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        for key, value in task["config"].items():
            options.add_session_config_entry(key, value)
        session = onnxruntime.InferenceSession(task["model"], options, providers=["CPUExecutionProvider"])
        names = task["outputs"] or [output.name for output in session.get_outputs()]
        return {"images": [_image(folder, f"{number}.{i}", session, names, f) for i, f in enumerate(task["feeds"])]}
    except Exception as error:
        return {"failed": str(error)}


def _image(folder, label, session, names, feeds):
    given = {
        name: np.fromfile(folder / array["file"], array["dtype"]).reshape(array["shape"])
        for name, array in feeds.items()
    }
    told = {}
    for index, (name, array) in enumerate(zip(names, session.run(names, given))):  # noqa: B905
        file = f"made.{label}.{index}.bin"
        np.ascontiguousarray(array).tofile(folder / file)
        told[name] = {"file": file, "dtype": array.dtype.name, "shape": list(array.shape)}
    return told


main(Path(sys.argv[1]))

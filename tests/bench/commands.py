"""Every command once on real models and images, with what it printed.

    python -m tests.bench.commands

Needs the models and images in ../shared, which are not part of this project.
"""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from quantseg.files import write_text
from quantseg.provenance import provenance
from tests.bench import writing

SHARED, WORK, ROOT = "../shared", ".work", Path(__file__).parents[2]
RECIPE = "--recipe tests/bench/recipes"
SINET = f"{SHARED}/models/sinet_portrait.onnx"
ROAD = f"{SHARED}/models/road_segmentation_adas_0001.onnx"
OCR = f"{SHARED}/models/ppocr_mobile_v2_det.onnx"
DEEPLAB = f"{SHARED}/models/deeplab_v3_mbv2_voc.onnx"
LINKNET = "reference_models/weights/linknet.onnx"
COMMANDS = (
    f"calibrate {SINET} {RECIPE}/sinet_portrait.toml --data {SHARED}/data/coco10 -o {WORK}/a.json --limit 5",
    f"calibrate {SINET} {RECIPE}/sinet_portrait.toml --data {SHARED}/data/coco10 -o {WORK}/sinet.json --workers 2",
    f"quantize {SINET} {RECIPE}/sinet_portrait.toml --calibration {WORK}/sinet.json -o {WORK}/sinet.int8.onnx",
    f"quantize {OCR} {RECIPE}/ppocr_mobile_v2_det.toml --data {SHARED}/data/camvid/train --limit 24 "
    f"-o {WORK}/ppocr.int8.onnx --format qoperator",
    f"quantize {SINET} {RECIPE}/sinet_portrait.toml --calibration {WORK}/sinet.json -o {WORK}/sinet.fast.onnx "
    "--target ort-cpu",
    f"quantize {DEEPLAB} {RECIPE}/deeplab_v3_mbv2_voc.toml --data {SHARED}/data/camvid/train --limit 24 "
    f"-o {WORK}/deeplab.pixels.onnx --target ort-cpu --fold-preprocess --fold-argmax",
    f"inspect {WORK}/deeplab.pixels.onnx --convolutions",
    f"evaluate {WORK}/deeplab.pixels.onnx --reference {DEEPLAB} --data {SHARED}/data/camvid/val --limit 32 --no-masks",
    f"inspect {WORK}/sinet.int8.onnx",
    f"inspect {WORK}/ppocr.int8.onnx",
    f"evaluate {WORK}/ppocr.int8.onnx --reference {OCR} --data {SHARED}/data/camvid/val --limit 32 --no-masks",
    f"quantize {SINET} {RECIPE}/sinet_portrait.toml --data {SHARED}/data/coco10 -o {WORK}/sinet.balanced.onnx",
    f"evaluate {WORK}/sinet.balanced.onnx --reference {SINET} --data {SHARED}/data/coco10",
    f"sensitivity {DEEPLAB} {RECIPE}/deeplab_v3_mbv2_voc.toml --data {SHARED}/data/camvid/train --limit 6 "
    "--figure reports/sensitivity.svg",
    f"search {LINKNET} --data {SHARED}/data/camvid/val --calib {SHARED}/data/camvid/train --limit 32 --effort fast "
    f"--max-iou-drop 3 --max-class-drop pedestrian=4 -o {WORK}/linknet.int8.onnx --figure reports/search.svg",
    f"benchmark {SINET} {WORK}/sinet.int8.onnx {WORK}/sinet.fast.onnx",
    f"compare {ROAD} {RECIPE}/road_segmentation_adas_0001.toml --data {SHARED}/data/camvid/train "
    f"--val {SHARED}/data/camvid/val --limit 16 --no-masks --openvino",
    *(
        f"report {model} {RECIPE}/{Path(model).stem}.toml --data {SHARED}/data/camvid/val "
        f"--calib {SHARED}/data/camvid/train --limit 32 --no-masks --no-pictures"
        for model in (DEEPLAB, ROAD, OCR)
    ),
    f"report {SINET} {RECIPE}/sinet_portrait.toml --data {SHARED}/data/coco10 --no-pictures",
    f"report --data {SHARED}/data",
)


def main() -> None:
    """Runs the commands one after another and writes reports/commands.md."""
    machine = provenance()
    parts = [
        "# Every command on real models and images",
        f"Made by `python -m tests.bench.commands` on {machine.processor}, {machine.cores} cores, "
        f"onnxruntime {machine.packages['onnxruntime']}. Long tables are cut.",
    ]
    try:
        for command in COMMANDS:
            print(f"quantseg {command}", flush=True)
            words = shlex.split(command)
            done = subprocess.run(
                [sys.executable, "-m", "quantseg", *words], cwd=ROOT, text=True, capture_output=True, check=False
            )
            if done.returncode:
                sys.exit(done.stderr)
            lines = (done.stdout + done.stderr).rstrip().splitlines()
            shown = lines if len(lines) <= 24 else [*lines[:16], "…", *lines[-6:]]
            parts.append("```\n$ quantseg " + command + "\n" + "\n".join(shown) + "\n```")
            if "--figure" in words:
                drawn = Path(words[words.index("--figure") + 1]).name
                parts.append(f"![{words[0]}]({drawn})")
    finally:
        shutil.rmtree(ROOT / WORK, ignore_errors=True)
    write_text(writing.FOLDER.parent / "commands.md", "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()

"""Every command once on real models and images, with what it printed.

    python -m tests.bench.commands [--only search,sensitivity]

Needs the models and images in ../shared, which are not part of this project.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from quantseg.files import write_text
from quantseg.runtimes.provenance import provenance
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
    f"quantize {OCR} {RECIPE}/ppocr_mobile_v2_det.toml --data {SHARED}/data/camvid/train --limit 24 --effort fast "
    f"-o {WORK}/ppocr.fast.onnx",
    f"simulate {WORK}/ppocr.fast.onnx --data {SHARED}/data/camvid/val --limit 4 --against onnxruntime "
    f"--json {WORK}/sums.json",
    f"simulate {WORK}/ppocr.fast.onnx --data {SHARED}/data/camvid/val --limit 4 --no-proof -o {WORK}/run.npz",
    f"explain {WORK}/ppocr.fast.onnx p2o.Conv.0 --data {SHARED}/data/camvid/val --reference {OCR}",
    f"quantize {OCR} {RECIPE}/ppocr_mobile_v2_det.toml --data {SHARED}/data/camvid/train --limit 24 --effort fast "
    f"--reduce-channels {WORK}/sums.json -o {WORK}/ppocr.7bits.onnx",
    f"simulate {WORK}/ppocr.7bits.onnx --data {SHARED}/data/camvid/val --limit 4",
    f"evaluate {WORK}/ppocr.int8.onnx --reference {OCR} --data {SHARED}/data/camvid/val --limit 32 --no-masks",
    f"quantize {SINET} {RECIPE}/sinet_portrait.toml --data {SHARED}/data/coco10 -o {WORK}/sinet.balanced.onnx",
    f"evaluate {WORK}/sinet.balanced.onnx --reference {SINET} --data {SHARED}/data/coco10",
    f"sensitivity {DEEPLAB} {RECIPE}/deeplab_v3_mbv2_voc.toml --data {SHARED}/data/camvid/train --limit 6 "
    "--figure reports/sensitivity.svg",
    f"search {LINKNET} --data {SHARED}/data/camvid/val --calib {SHARED}/data/camvid/train --limit 32 --effort fast "
    f"--max-iou-drop 3 --max-class-drop pedestrian=4 -o {WORK}/linknet.int8.onnx --figure reports/search.svg",
    f"benchmark {SINET} {WORK}/sinet.int8.onnx {WORK}/sinet.fast.onnx",
    f"compare {ROAD} {RECIPE}/road_segmentation_adas_0001.toml --data {SHARED}/data/camvid/val "
    f"--calib {SHARED}/data/camvid/train --limit 16 --no-masks --openvino",
    *(
        f"report {model} {RECIPE}/{Path(model).stem}.toml --data {SHARED}/data/camvid/val "
        f"--calib {SHARED}/data/camvid/train --limit 32 --no-masks --no-images"
        for model in (DEEPLAB, ROAD, OCR)
    ),
    f"report {SINET} {RECIPE}/sinet_portrait.toml --data {SHARED}/data/coco10 --no-images",
    f"report --data {SHARED}/data",
)


PAGE = writing.FOLDER.parent / "commands.md"
HEAD = "# Every command on real models and images\n\nMade by `python -m tests.bench.commands`. Long tables are cut."
PLACE = "\n\nOn "
"""How each command's section begins: with the machine that it ran on."""


def main() -> None:
    """Runs the commands one after another, or those that hold one of the words of --only, and writes the page anew."""
    parser = writing.parser(__doc__)
    parser.add_argument("--only", default="", help="words, with commas between; other commands stay as they are")
    words = [word for word in parser.parse_args().only.split(",") if word]
    known = _known() if words else {}
    machine = provenance()
    place = f"{machine.processor}, {machine.cores} cores, onnxruntime {machine.packages['onnxruntime']}:"
    try:
        for command in COMMANDS:
            if not words or any(word in command for word in words):
                print(f"quantseg {command}", flush=True)
                known[command] = f"{place}\n\n{_section(command)}"
    finally:
        shutil.rmtree(ROOT / WORK, ignore_errors=True)
    sections = (known[command] for command in COMMANDS if command in known)
    write_text(PAGE, PLACE.join([HEAD, *sections]) + "\n")


def _section(command: str) -> str:
    """What the command prints, and the figure that it draws; files of an earlier version are overwritten."""
    words = shlex.split(command)
    quiet = {**os.environ, "QUANTSEG_PROGRESS": "off"}
    done = subprocess.run(
        [sys.executable, "-m", "quantseg", *words, "--force"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        env=quiet,
    )
    if done.returncode:
        sys.exit(done.stderr)
    lines = (done.stdout + done.stderr).rstrip().splitlines()
    shown = lines if len(lines) <= 24 else [*lines[:16], "…", *lines[-6:]]
    printed = "```\n$ quantseg " + command + "\n" + "\n".join(shown) + "\n```"
    if "--figure" not in words:
        return printed
    return f"{printed}\n\n![{words[0]}]({Path(words[words.index('--figure') + 1]).name})"


def _known() -> dict[str, str]:
    """Command → its section on the page that is there."""
    sections = PAGE.read_text(encoding="utf-8").rstrip().split(PLACE)[1:]
    return {section.split("\n$ quantseg ", 1)[1].split("\n", 1)[0]: section for section in sections}


if __name__ == "__main__":
    main()

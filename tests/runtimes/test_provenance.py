import json
import platform
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import quantseg
from quantseg.runtimes import provenance as module
from quantseg.runtimes.provenance import PACKAGES, provenance

X86 = """processor\t: 0
model name\t: A Fine CPU @ 2.00GHz
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni avx512_vnni_like
bugs\t\t: spectre
processor\t: 1
model name\t: A Fine CPU @ 2.00GHz
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni
"""
ARM = """processor\t: 0
Features\t: fp asimd asimddp i8mm
CPU implementer\t: 0x41
"""


@pytest.fixture
def cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_CPUINFO", tmp_path / "cpuinfo")
    return tmp_path / "cpuinfo"


def test_versions_are_those_that_are_imported() -> None:
    found = provenance()
    assert found.packages["numpy"] == np.__version__
    assert found.packages["onnxruntime"] == onnxruntime.__version__
    assert found.packages["quantseg"] == quantseg.__version__
    assert set(found.packages) == {*PACKAGES, "quantseg"}
    assert set(provenance("pytest").packages) == {*found.packages, "pytest"}
    assert found.python == platform.python_version()
    assert found.cores >= 1


def test_two_calls_say_the_same_and_survive_json() -> None:
    assert provenance() == provenance()
    plain = json.loads(json.dumps(provenance().to_json()))
    assert plain["packages"] == provenance().packages


def test_the_machine_and_its_user_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("platform.node", "socket.gethostname", "getpass.getuser"):
        monkeypatch.setattr(source, lambda: pytest.fail("asked who it is"))
    text = json.dumps(provenance().to_json())
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text


def test_an_x86_processor_tells_its_name_and_instructions(cpuinfo: Path) -> None:
    cpuinfo.write_text(X86)
    found = provenance()
    assert found.processor == "A Fine CPU @ 2.00GHz"
    assert found.instruction_sets == ("avx2", "avx512_vnni", "avx512f")


def test_an_arm_processor_tells_its_features(cpuinfo: Path) -> None:
    cpuinfo.write_text(ARM)
    found = provenance()
    assert found.instruction_sets == ("asimddp", "i8mm")
    assert found.processor


def test_without_cpuinfo_the_instructions_are_unknown(cpuinfo: Path) -> None:
    assert not cpuinfo.exists()
    found = provenance()
    assert found.instruction_sets is None
    assert found.processor

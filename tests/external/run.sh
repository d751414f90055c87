#!/bin/sh
# Exercises spandrel and diffusers in an environment of their own: sh tests/external/run.sh FOLDER [PYTHON]
# The torchvision that belongs to this torch does not import beside torch's build for the CPU alone; 0.16.2 does, without its
# compiled operators, of which spandrel uses none. On a machine with torch's default build nothing of this is needed:
# pip install 'forensic-video[external,diffusers]'.
set -eu
cd "$(dirname "$0")/../.."
venv=${1:?folder of the environment}
script=tests/external/run.sh
if ! cmp -s "$script" "$venv/.ready"; then
  "${2:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip install -q -c constraints.txt torch
  "$venv/bin/python" -m pip install -q -c constraints.txt -e . onnxruntime hypothesis pytest
  "$venv/bin/python" -m pip install -q einops==0.8.2 diffusers==0.42.1 transformers==5.23.0
  "$venv/bin/python" -m pip install -q --no-deps torchvision==0.16.2 spandrel==0.4.2
  cp "$script" "$venv/.ready"
fi
OMP_NUM_THREADS=1 exec "$venv/bin/python" -W ignore -m pytest -q tests/external/with_engines.py

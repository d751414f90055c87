#!/bin/sh
# Build the wheel, install it into a fresh environment, run the suite against it from outside the checkout.
# Usage: tests/wheel/run.sh PYTHON_OF_THE_DEVELOPMENT_ENVIRONMENT
set -eu
python=$1
root=$(pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
case $python in /*) ;; *) python=$root/$python ;; esac
"$python" -m build --wheel --no-isolation --outdir "$scratch/dist" "$root" >"$scratch/build.log" 2>&1 || { cat "$scratch/build.log"; exit 1; }
# The tested dependencies come from the development environment; forensic itself from the wheel.
"$python" -m venv "$scratch/venv"
site=$("$scratch/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
"$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' >"$site/zz-dependencies.pth"
"$scratch/venv/bin/python" -m pip install -q --no-deps --no-index "$scratch"/dist/*.whl
cp -r "$root/tests" "$root/docs" "$scratch/"
cp "$root/pyproject.toml" "$scratch/pytest-settings.toml"
export FORENSIC_TEST_ASSETS="${FORENSIC_TEST_ASSETS:-$root/.assets}"
export FORENSIC_SHARED_DATA="${FORENSIC_SHARED_DATA:-$root/../shared/data}"
cd "$scratch"
"$scratch/venv/bin/python" -c "import forensic, forensic.resources as r; print('wheel under test:', forensic.__file__); assert r.data_root().name == '_data'"
# What the wheel can have wrong is what it ships and how it finds it; the rest was tested on the checkout.
"$scratch/venv/bin/python" -m pytest -n 2 -q "$scratch"/tests/registry "$scratch"/tests/report "$scratch"/tests/policy \
  "$scratch"/tests/stages "$scratch"/tests/compat "$scratch"/tests/case/test_main_job.py \
  "$scratch"/tests/case/test_contract.py "$scratch"/tests/case/test_ladder.py "$scratch"/tests/case/test_sourcecode.py \
  --rootdir "$scratch" -p no:cacheprovider

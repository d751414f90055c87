#!/usr/bin/env bash
# The main job, end to end, on real footage: enhance, verify, verify with other people's tools.
# Usage: tests/demo.sh BIN CASEWORK [CLIP]
set -euo pipefail
range=()
bin=$1 casework=$2 clip=${3:-}
if [ -z "$clip" ]; then
  clip="$("$bin/python" -m tests.footage)/bikes.mp4"
  range=(--frames 0:60)
fi
run=$("$bin/forensic" enhance "$clip" -w "$casework" "${range[@]}" | tee /dev/stderr | tail -n 1)
"$bin/forensic" verify "$run"
(cd "$run" && sha256sum --check --quiet manifest.sha256 && echo "sha256sum: every file of the run has its listed digest")
if command -v pdfsig >/dev/null; then pdfsig -nocert "$run/report.pdf" | sed -n '/Signature Validation/p;/document signed/p'; fi
echo
echo "enhanced video  $run/output.mkv"
echo "signed report   $run/report.pdf"
echo "risk overlays   $run/risk/"
echo "signed record   $run/attestation.json"
echo "ledger          $casework/ledger.sqlite"

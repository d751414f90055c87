"""Time and compare the kernels that processors without VNNI, or without AVX-512, would run.

    python models/light-x4-int8/without_vnni.py [--hide vnni|avx512|nothing] [--rounds 12]

ONNX Runtime chooses kernels by what the instruction ``cpuid`` answers and has no switch for it. This makes a
copy of the package in a temporary folder, replaces every ``cpuid`` in the copy's library by an instruction
that does not exist (``ud2``, of the same length), and lets the signal handler of a preloaded library give the
answer, with the bits of VNNI (and of AVX-512) cleared. Then ``speed.py`` runs on that copy: what it times is
this processor with other kernels; what it digests is what those kernels compute. Linux on x86-64; needs gcc
and objdump. Only the copy is changed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HANDLER = r"""
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static unsigned ebx_hidden, ecx_hidden, edx_hidden, eax1_hidden;

static void answer(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *at = (const unsigned char *)registers[REG_RIP];
    if (at[0] != 0x0f || at[1] != 0x0b) { signal(SIGILL, SIG_DFL); return; }
    unsigned leaf = registers[REG_RAX], part = registers[REG_RCX], a = leaf, b, c = part, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (leaf == 7 && part == 0) { b &= ~ebx_hidden; c &= ~ecx_hidden; d &= ~edx_hidden; }
    if (leaf == 7 && part == 1 && eax1_hidden) { a &= ~eax1_hidden; d = 0; }
    registers[REG_RAX] = a; registers[REG_RBX] = b; registers[REG_RCX] = c; registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

__attribute__((constructor)) static void prepare(void) {
    const char *hide = getenv("HIDE");
    if (hide && strcmp(hide, "nothing")) {
        ecx_hidden |= 1u << 11;                    /* AVX512_VNNI */
        edx_hidden |= 1u << 22 | 1u << 24 | 1u << 25; /* AMX */
        eax1_hidden |= 1u << 4 | 1u << 23;         /* AVX_VNNI, AVX_IFMA */
    }
    if (hide && !strcmp(hide, "avx512")) {
        ebx_hidden |= 1u << 16 | 1u << 17 | 1u << 21 | 1u << 28 | 1u << 30 | 1u << 31;
        ecx_hidden |= 1u << 1 | 1u << 6 | 1u << 12 | 1u << 14;
    }
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGILL, &action, NULL);
}
"""
CPUID, UD2 = b"\x0f\xa2", b"\x0f\x0b"


def tool(*command: str) -> str:
    """Output of another program."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def hide_cpuid(library: Path) -> int:
    """Replace every cpuid instruction; returns how many there were."""
    sites = [int(each, 16) for each in re.findall(r"^\s*([0-9a-f]+):.*\bcpuid\b", tool("objdump", "-d", str(library)),
                                                  re.MULTILINE)]  # fmt: skip
    segments = [
        (int(line.split()[1], 16), int(line.split()[2], 16), int(line.split()[4], 16))
        for line in tool("readelf", "-lW", str(library)).splitlines()
        if line.strip().startswith("LOAD")
    ]
    data = bytearray(library.read_bytes())
    for site in sites:
        (offset,) = [site - at + start for start, at, length in segments if at <= site < at + length]
        if data[offset : offset + 2] != CPUID:
            raise ValueError(f"no cpuid at {site:#x}")
        data[offset : offset + 2] = UD2
    library.write_bytes(data)
    return len(sites)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hide", choices=("vnni", "avx512", "nothing"), default="vnni")
    parser.add_argument("--rounds", default="12")
    arguments = parser.parse_args()
    found = importlib.util.find_spec("onnxruntime")
    assert found is not None and found.origin is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(Path(found.origin).parent, folder / "onnxruntime")
        (library,) = (folder / "onnxruntime" / "capi").glob("onnxruntime_pybind11_state*.so")
        sites = hide_cpuid(library)
        (folder / "answer.c").write_text(HANDLER, encoding="ascii")
        tool("gcc", "-O1", "-shared", "-fPIC", "-o", str(folder / "answer.so"), str(folder / "answer.c"))
        print(f"{sites} cpuid instructions answered; hidden: {arguments.hide}", flush=True)
        variables = {
            **os.environ,
            "HIDE": arguments.hide,
            "LD_PRELOAD": str(folder / "answer.so"),
            "PYTHONPATH": os.pathsep.join(filter(None, (name, os.environ.get("PYTHONPATH")))),
        }
        speed = Path(__file__).with_name("speed.py")
        subprocess.run([sys.executable, str(speed), "--rounds", arguments.rounds], check=True, env=variables)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Runs a command with CUDA on the CPU: what `--features cuda` compiles, where there is no graphics processor.

    tests/cuda/on_cpu.py cargo test --release -p unprompt --features cuda --lib

candle's kernels are compiled by g++ in place of nvcc, beside the little of CUDA's driver, cuBLAS and cuRAND that candle
asks for. UNPROMPT_DEVICE and UNPROMPT_TEST_DEVICE are set to `cuda` for the command; CUDA_ON_CPU_REPORT=1 has every
process say at its end which kernels it has launched. What cargo builds lies in target/cuda-on-cpu, since a program that
was linked with this knows no graphics processor.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = ROOT / "target/cuda-on-cpu"
OUT = TARGET / "cuda"

# What is compiled for the program itself; kernels of quantised models are not.
MODULES = "affine binary cast conv fill indexing reduce sort ternary unary".split()
# Of these modules the arguments tell so many operands' layouts, after a count.
LAYOUTS = {"affine": 1, "binary": 2, "cast": 1, "ternary": 3, "unary": 1}
LIBRARIES = "cublas cublasLt curand nvrtc cudart".split()
# Kernels take what is of another type in pieces of 16 bytes, which C++ would not allow, and jumps between stacks are no
# errors.
FLAGS = """
    -std=c++17 -march=native -O3 -ffp-contract=off -fno-strict-aliasing -ftls-model=initial-exec -fPIC -U_FORTIFY_SOURCE
""".split()
# Where builds would look for a toolkit of CUDA, which must not be found.
TOOLKIT = "CUDA_PATH CUDA_ROOT CUDA_TOOLKIT_ROOT_DIR CUDNN_LIB NVCC CUDARC_CUDA_VERSION".split()


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    crates = sources()
    stamp, made_from = OUT / "made-from", identity(crates)
    if not stamp.exists() or stamp.read_text() != made_from:
        stamp.unlink(missing_ok=True)
        build(crates["candle-kernels"] / "src", crates["cudarc"] / "src")
        write(stamp, made_from)
    environment = {name: value for name, value in os.environ.items() if name not in TOOLKIT}
    environment |= {
        "CARGO_TARGET_DIR": str(TARGET),
        "CUDA_HOME": str(OUT),
        "CUDA_COMPUTE_CAP": "90",
        "CUDA_ON_CPU_STUBS": str(OUT / "stubs-of-kernels.o"),
        "UNPROMPT_DEVICE": "cuda",
        "UNPROMPT_TEST_DEVICE": "cuda",
    }
    for name, folder in ("PATH", HERE / "bin"), ("LIBRARY_PATH", OUT / "lib"), ("LD_LIBRARY_PATH", OUT / "lib"):
        before = os.environ.get(name)
        environment[name] = f"{folder}:{before}" if before else str(folder)
    os.execvpe(sys.argv[1], sys.argv[1:], environment)


def sources() -> dict[str, Path]:
    """The folders of the crates that speak CUDA, as cargo has them."""
    about = subprocess.run(["rustc", "-vV"], stdout=subprocess.PIPE, text=True, check=True).stdout
    host = re.search(r"host: (\S+)", about)[1]
    command = ["cargo", "metadata", "--format-version", "1", "--features", "unprompt/cuda", "--filter-platform", host]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    packages = {it["name"]: Path(it["manifest_path"]).parent for it in json.loads(told)["packages"]}
    return {name: packages[name] for name in ("candle-kernels", "cudarc")}


def identity(crates: dict[str, Path]) -> str:
    """What the library is made from."""
    digest = hashlib.sha256()
    for path in sorted(path for path in HERE.rglob("*") if path.is_file()):
        digest.update(path.read_bytes())
    compiler = subprocess.run(["g++", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    return "\n".join([digest.hexdigest(), *map(str, crates.values()), compiler])


def build(kernels: Path, cudarc: Path) -> None:
    """Makes one library, and links to it by the name of each of CUDA's."""
    includes = OUT / "include"
    for name in ("cuda_fp16.h", "cuda_bf16.h", "cuda_fp8.h"):
        write(includes / name, '#include "language.h"\n')
    limits = "#include <limits>\nnamespace cuda { namespace std { using ::std::numeric_limits; } }\n"
    write(includes / "cuda/std/limits", limits)
    ours = [*FLAGS, "-Wall", "-Wextra", f"-I{HERE}"]
    theirs = [*FLAGS, "-w", f"-I{HERE}", f"-I{includes}", f"-I{kernels}"]
    entries, units = [], [(HERE / name, ours) for name in ("threads.cpp", "driver.cpp", "blas.cpp", "rand.cpp")]
    for module in MODULES:
        text = (kernels / f"{module}.cu").read_text()
        waits = "__syncthreads" in text or "__shfl" in text
        text = re.sub(r"extern __shared__ (\w+) (\w+)\[\];", r"\1* \2 = (\1*)dynamic_shared;", text)
        unit = write(OUT / f"{module}.cpp", '#include "language.h"\n' + text)
        units.append((unit, theirs))
        expanded = subprocess.run(["g++", *theirs, "-E", "-P", unit], stdout=subprocess.PIPE, text=True, check=True)
        for name, arguments in re.findall(r'extern "C"\s+void\s+(\w+)\s*\(([^)]*)\)', expanded.stdout):
            types = [re.match(r"(.*?)\w+$", it.strip(), re.S)[1].strip() for it in arguments.split(",")]
            entries.append((module, name, types, waits))
    units.append((write(OUT / "table.cpp", table(entries)), theirs))
    bindings = [
        path
        for part in ("driver", "cublas", "cublaslt", "curand", "nvrtc")
        for path in (cudarc / part / "sys").iterdir()
    ]
    bindings = "".join(path.read_text() for path in bindings)
    functions = sorted(set(re.findall(r"fn ((?:cu|nvrtc)[A-Z]\w*|cublas\w+|curand\w+)", bindings)))
    units.append((write(OUT / "stubs.cpp", stubs(functions, "__attribute__((weak))")), theirs))
    of_kernels = sorted(set(re.findall(r"pub fn (\w+)", (kernels / "ffi.rs").read_text())))
    compiled(write(OUT / "stubs-of-kernels.cpp", stubs(of_kernels, "")), theirs)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda unit: compiled(*unit), units))
    library = OUT / "lib/libcuda.so"
    library.parent.mkdir(exist_ok=True)
    # Every module has candle's helpers.
    link = "-shared -Wl,-Bsymbolic -Wl,-soname,libcuda.so -Wl,--allow-multiple-definition".split()
    linked = library.with_name("linked.so")
    subprocess.run(["g++", *link, "-o", linked, *objects], check=True)
    linked.replace(library)
    for name in LIBRARIES:
        alias = library.with_name(f"lib{name}.so")
        alias.unlink(missing_ok=True)
        alias.symlink_to(library.name)
    check = OUT / "check"
    subprocess.run(["g++", *ours, HERE / "check.cpp", library, f"-Wl,-rpath,{library.parent}", "-o", check], check=True)
    found = subprocess.run([check], stderr=subprocess.PIPE, text=True)
    if found.returncode != 0:
        sys.exit(found.stderr)


def compiled(unit: Path, flags: list[str]) -> Path:
    to = OUT / f"{unit.stem}.o"
    subprocess.run(["g++", *flags, "-c", unit, "-o", to], check=True)
    return to


def table(entries: list[tuple[str, str, list[str], bool]]) -> str:
    """The kernels by their names, with what takes their arguments from addresses."""
    declared, rows = {}, []
    for module, name, types, waits in entries:
        declared[name] = f'extern "C" void {name}({", ".join(types)});'
        arguments = ", ".join(f"*(std::remove_const_t<{kind}>*)a[{at}]" for at, kind in enumerate(types))
        call = f"[](void** a) {{ {name}({arguments}); }}"
        rows.append(f'{{"{module}/{name}", {call}, {int(waits)}, {LAYOUTS.get(module, 0)}}},')
    return "\n".join(
        ['#include "kernels.h"', *declared.values(), "const KernelEntry kernels[] = {", *rows, "};"]
        + ["const size_t kernel_count = sizeof(kernels) / sizeof(kernels[0]);", ""]
    )


def stubs(names: list[str], attributes: str) -> str:
    """Functions that end the process with their names."""
    said = r'fprintf(stderr, "CUDA on the CPU: %s is not known\n", __func__); abort();'
    rows = [f'extern "C" {attributes} void {name}() {{ {said} }}' for name in names]
    return "\n".join(["#include <cstdio>", "#include <cstdlib>", *rows, ""])


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


if __name__ == "__main__":
    main()

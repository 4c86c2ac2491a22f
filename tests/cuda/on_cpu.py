#!/usr/bin/env python3
"""Runs a command with CUDA on the CPU: what `--features cuda` compiles, where there is no graphics processor.

    tests/cuda/on_cpu.py cargo test --release -p unprompt --features cuda --lib

candle's kernels are compiled by g++ in the place of nvcc, beside the little of CUDA's driver, cuBLAS and cuRAND that
candle asks for. UNPROMPT_DEVICE and UNPROMPT_TEST_DEVICE name the device for the command; CUDA_ON_CPU_REPORT=1 has
every process say at its end which kernels it has launched. What cargo builds lies in target/cuda-on-cpu, since a
program that was linked with this knows no graphics processor.
"""

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
# Of these a kernel goes through its numbers in strides of the grid, and this many operands' layouts follow their count.
STRIDES = {"affine": 1, "binary": 2, "cast": 1, "ternary": 3, "unary": 1}
# Of these the threads of a block wait for one another.
WAITS = {"reduce", "sort"}
LIBRARIES = "cuda cublas cublasLt curand nvrtc cudart".split()
# The kernels take 16-byte pieces of what is of another type, which C++ would not allow.
FLAGS = "-std=c++17 -march=native -O3 -ffp-contract=off -fno-strict-aliasing -ftls-model=initial-exec -fPIC -w".split()


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    crates = sources()
    inputs = [*HERE.iterdir(), *crates.values()]
    library = OUT / "lib/libcuda.so"
    if not library.exists() or library.stat().st_mtime < max(path.stat().st_mtime for path in inputs):
        build(crates["candle-kernels"] / "src", crates["cudarc"] / "src")
    before = {name: os.environ.get(name, "") for name in ("PATH", "LIBRARY_PATH", "LD_LIBRARY_PATH")}
    environment = os.environ | {
        "CARGO_TARGET_DIR": str(TARGET),
        "CUDA_COMPUTE_CAP": "90",
        "CUDA_ON_CPU_STUBS": str(OUT / "stubs-of-kernels.o"),
        "PATH": f"{HERE / 'bin'}:{before['PATH']}",
        "LIBRARY_PATH": f"{OUT / 'lib'}:{before['LIBRARY_PATH']}",
        "LD_LIBRARY_PATH": f"{OUT / 'lib'}:{before['LD_LIBRARY_PATH']}",
        "UNPROMPT_DEVICE": "cuda",
        "UNPROMPT_TEST_DEVICE": "cuda",
    }
    os.execvpe(sys.argv[1], sys.argv[1:], environment)


def sources() -> dict[str, Path]:
    """The folders of the crates that speak CUDA, as cargo has them."""
    about = subprocess.run(["rustc", "-vV"], stdout=subprocess.PIPE, text=True, check=True).stdout
    host = re.search(r"host: (\S+)", about)[1]
    command = ["cargo", "metadata", "--format-version", "1", "--features", "unprompt/cuda", "--filter-platform", host]
    packages = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout)["packages"]
    return {
        it["name"]: Path(it["manifest_path"]).parent for it in packages if it["name"] in ("candle-kernels", "cudarc")
    }


def build(kernels: Path, cudarc: Path) -> None:
    """Makes the library that stands for all of CUDA's, by every name."""
    includes = OUT / "include"
    for name in ("cuda_fp16.h", "cuda_bf16.h", "cuda_fp8.h"):
        write(includes / name, '#include "language.h"\n')
    write(
        includes / "cuda/std/limits",
        "#include <limits>\nnamespace cuda { namespace std { using ::std::numeric_limits; } }\n",
    )
    flags = [*FLAGS, f"-I{HERE}", f"-I{includes}", f"-I{kernels}"]
    entries, units = [], []
    for module in MODULES:
        text = (kernels / f"{module}.cu").read_text()
        text = re.sub(r"extern __shared__ (\w+) (\w+)\[\];", r"\1* \2 = (\1*)dynamic_shared;", text)
        unit = write(OUT / f"{module}.cpp", '#include "language.h"\n' + text)
        units.append(unit)
        expanded = subprocess.run(["g++", *flags, "-E", "-P", unit], capture_output=True, text=True, check=True).stdout
        for name, arguments in re.findall(r'extern "C"\s+void\s+(\w+)\s*\(([^)]*)\)', expanded):
            types = [re.match(r"(.*?)\w+$", it.strip(), re.S)[1].strip() for it in arguments.split(",")]
            entries.append((module, name, types))
    units.append(write(OUT / "table.cpp", table(entries)))
    units += [HERE / name for name in ("threads.cpp", "driver.cpp", "math.cpp")]
    # Whatever else is asked for ends the process with its name.
    bindings = "".join(
        path.read_text()
        for part in ("driver", "cublas", "cublaslt", "curand", "nvrtc")
        for path in (cudarc / part / "sys").glob("*.rs")
    )
    lacking = sorted(set(re.findall(r"fn ((?:cu|nvrtc)[A-Z]\w*|cublas\w+|curand\w+)", bindings)))
    units.append(write(OUT / "stubs.cpp", stubs(lacking, "__attribute__((weak))")))
    of_kernels = sorted(set(re.findall(r"pub fn (\w+)", (kernels / "ffi.rs").read_text())))
    units.append(write(OUT / "stubs-of-kernels.cpp", stubs(of_kernels, "")))

    def compiled(unit: Path) -> Path:
        to = OUT / f"{unit.stem}.o"
        subprocess.run(["g++", *flags, "-c", unit, "-o", to], check=True)
        return to

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, units))
    (OUT / "lib").mkdir(exist_ok=True)
    # candle's helpers are in every module.
    link = "-shared -Wl,-Bsymbolic -Wl,-soname,libcuda.so -Wl,--allow-multiple-definition".split()
    linked = OUT / "lib/linked.so"
    subprocess.run(["g++", *link, "-o", linked, *objects[:-1]], check=True)
    for name in LIBRARIES[1:]:
        alias = OUT / f"lib/lib{name}.so"
        alias.unlink(missing_ok=True)
        alias.symlink_to("libcuda.so")
    linked.replace(OUT / "lib/libcuda.so")


def table(entries: list[tuple[str, str, list[str]]]) -> str:
    """The kernels by their names, with what takes their arguments from addresses."""
    declared, rows = {}, []
    for module, name, types in entries:
        declared[name] = f'extern "C" void {name}({", ".join(types)});'
        arguments = ", ".join(f"*(std::remove_const_t<{kind}>*)a[{at}]" for at, kind in enumerate(types))
        facts = [module in WAITS, module in STRIDES, STRIDES.get(module, 0)]
        facts = ", ".join(str(int(fact)) for fact in facts)
        rows.append(f'{{"{module}/{name}", [](void** a) {{ {name}({arguments}); }}, {facts}}},')
    return "\n".join(
        ['#include "kernels.h"', *declared.values(), "const KernelEntry kernels[] = {", *rows, "};"]
        + ["const size_t kernel_count = sizeof(kernels) / sizeof(kernels[0]);", ""]
    )


def stubs(names: list[str], attributes: str) -> str:
    said = r'fprintf(stderr, "CUDA on the CPU: %s is not known\n", __func__); abort();'
    rows = [f'extern "C" {attributes} void {name}() {{ {said} }}' for name in names]
    return "\n".join(["#include <cstdio>", "#include <cstdlib>", *rows, ""])


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


if __name__ == "__main__":
    main()

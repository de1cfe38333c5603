"""The one part of the build that pyproject.toml cannot say: the fused engine, built where a C++ compiler is there."""

from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("flowlib/engines/native")

setup(
    ext_modules=[
        Extension(
            "flowlib.engines._fused",
            sources=sorted(str(path) for path in NATIVE.glob("*.cpp")),
            depends=sorted(str(path) for path in NATIVE.glob("*.h")),
            language="c++",
            # Products and sums stay as written: results must not depend on what a compiler makes of an expression.
            extra_compile_args=[
                "-std=c++17",
                "-O3",
                "-g0",
                "-ffp-contract=off",
                "-fvisibility=hidden",
                "-Wno-uninitialized",
            ],
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            py_limited_api=True,
            optional=True,  # no compiler: flowlib falls back to TorchScript
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)

"""The one part of the build that pyproject.toml cannot say: what is written in C++, built where a compiler is there."""

from pathlib import Path

from setuptools import Extension, setup

NATIVE = {
    "flowlib.native._loops": Path("flowlib/native/loops"),  # loops over rows that take NumPy many passes
    "flowlib.engines._fused": Path("flowlib/engines/native"),
    "flowlib.training._gradients": Path("flowlib/training/native"),  # steps of training; vectors of the one above
    "stream_app.native._records": Path("stream_app/native/records"),  # Kafka's record batches as columns
    "stream_app.native._rows": Path("stream_app/native/rows"),  # bodies of JSON and float32 as columns
    "stream_app.native._panes": Path("stream_app/native/panes"),  # columns of panes, and evidence of them
    "stream_app.native._points": Path("stream_app/native/points"),  # columns of points as rows of text
}
"""Module to the folder of its sources. Each has a form in Python that gives the same, slower."""


def extension(name: str, folder: Path) -> Extension:
    return Extension(
        name,
        sources=sorted(str(path) for path in folder.glob("*.cpp")),
        depends=sorted(str(path) for path in folder.glob("*.h")),
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
        optional=True,  # no compiler: the form in Python
    )


setup(
    ext_modules=[extension(name, folder) for name, folder in NATIVE.items() if any(folder.glob("*.cpp"))],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)

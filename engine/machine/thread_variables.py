"""The environment variables that say how many threads a numerical library starts; it reads its own when it is loaded."""

from __future__ import annotations

__all__ = ["BLAS_VARIABLES", "THREAD_VARIABLES"]

BLAS_VARIABLES = (  # a library's own goes before OpenMP's
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
    "OMP_NUM_THREADS",
)
THREAD_VARIABLES = (*BLAS_VARIABLES, "NUMEXPR_NUM_THREADS")

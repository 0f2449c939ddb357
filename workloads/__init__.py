"""Workloads: what is computed. Parameters, jobs, task functions, and the encoding that carries them.

Only numpy, scikit-learn and msgspec are imported below this folder: it ships to Lambda as it is.
"""

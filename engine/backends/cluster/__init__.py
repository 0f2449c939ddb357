"""Tasks on other people's workers: a Dask cluster, or any `concurrent.futures.Executor`."""

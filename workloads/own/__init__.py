"""A user's own workload: a generator and plain functions in a Python file, or the target of an entry point.

- locate: from `./mine.py:job` or an entry point's name to a module and the folder that it is imported from
- snapshot: the files that are sent, and a read-only copy of them: every backend runs the same bytes
- describe: the workload's description, from a process of its own (`inspect_process`): no user's code runs in the caller
- type_spec: parameters' types as JSON and back
- importer: makes a snapshot importable, and finds its task functions by name
- calling: calls a user's function with the arguments that it names
- workload: the generator and its companions (`reference`, `check`, ...) as a `Workload`
- tracebacks: errors of a user's code, in their own files' names
- run_here: a job in the calling process, for tests
"""

"""A user's own workload: a generator and plain functions in a Python file, or what an entry point names.

- naming: from `./mine.py:job` or an entry point's name to a module and the folder that it is imported from
- gathering: which files travel, and a snapshot of them: every backend runs the same bytes
- asking: what can be told of it, asked of a process of its own (`inspecting`): no user's code runs in who asks
- typespec: parameters' types as JSON and back
- entering: makes a snapshot importable, and finds its task functions by name
- wrapping: the generator and its companions (`reference`, `check`, ...) as a `Workload`
- traces: what a user's code raised, in a user's words
- trying: a job in one's own process, for tests
"""

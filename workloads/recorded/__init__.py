"""A script's own parallel calls as a workload: recorded once, measured on every backend, against the recorded results.

- launch: runs the script unchanged in a process of its own
- startup/sitecustomize: installs the hooks in that process before the script begins
- hooks: notes what is handed over in that process: executors (concurrent.futures), pools (multiprocessing), joblib_calls;
  current: its recorder; clean_tracebacks: leaves the hooks out of what is printed
- recorder: writes calls and results into a file as they happen
- values: arguments and results as plain values and back; only names that the recording lists can be called
- code: the script's own files, as modules that a worker can import
- finish: makes the recording's folder out of these; folder: reads it
- tasks: the task function; job: the workload
"""

"""The model beside public recordings of AWS Lambda: every figure of docs/model.md.

    python -m lbench.engine.simulation.recordings FOLDER [--fit FOLDER] [--write docs/model.md]

FOLDER holds recordings in their authors' formats (docs/model.md names them); whichever are there are used. What the model
needs of a workload (durations, a client's habits) is fitted on `--fit`'s recordings, by default on FOLDER's own: then each
figure is predicted from the others (leave one fan-out, one size, one half of the calls out). Nothing is fitted for a single
figure.
"""

"""Drawing as values: numbers in, segments and strips out; no widgets."""

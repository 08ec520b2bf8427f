"""The SemTrack metrics: pure NumPy functions, and the module that `evaluate` loads."""

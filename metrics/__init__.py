"""Metrics of SemTrack."""

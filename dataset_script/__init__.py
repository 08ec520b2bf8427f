"""Data for semantic tracking: one record type, adapters of published formats, a generator, checks."""

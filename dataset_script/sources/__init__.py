"""One adapter per published annotation format; each yields :class:`dataset_script.records.VideoRecord`."""

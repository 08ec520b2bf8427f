"""The one door to all data: published sources and synthetic videos as `datasets`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import datasets
from datasets import packaged_modules

from dataset_script import hub, semtrack
from dataset_script.registry import SOURCES
from dataset_script.semtrack import SYNTHETIC, SemTrackDataset
from dataset_script.sources.reading import Broken

Loaded = datasets.Dataset | datasets.DatasetDict | datasets.IterableDataset | datasets.IterableDatasetDict


def load_semtrack(
    source: str,
    data_dir: str | Path | None = None,
    split: str | None = None,
    *,
    streaming: bool = False,
    num_proc: int | None = None,
    skip_broken: bool = False,
    skipped: list[Broken] | None = None,
    videos: bool = True,
    video_dir: str | Path | None = None,
    splits: str | Path | None = None,
    num_shards: int = 1,
    count: int = 100,
    seed: int = 0,
    download: bool = False,
    cache_dir: str | Path | None = None,
    **options: Any,
) -> Loaded:
    """Loads a source as a table with one row per video (:data:`dataset_script.rows.FEATURES`).

    Args:
        source: ``"synthetic"``, or a key of :data:`dataset_script.registry.SOURCES`.
        data_dir: The folder of a published source, as its adapter's docstring shows it.
        split: ``"train"``, ``"validation"``, ``"test"`` or what `datasets` understands (``"train[:10]"``); None
            for all, as a dictionary.
        streaming: Reads (or renders) while iterating instead of preparing tables in the cache first. The
            stream's ``state_dict()`` and ``load_state_dict()`` continue where it stopped.
        num_proc: Processes that prepare the tables.
        skip_broken: Passes over broken entries and missing videos instead of raising; one line in the log
            counts them and names the first.
        skipped: A list to which all that was passed over is added (while iterating, in a stream). Implies
            `skip_broken`.
        videos: False for annotations alone: nothing is rendered, and videos need not be there.
        video_dir: Folder of the videos, where it is not the source's own place in `data_dir`.
        splits: File of splits that several sources share, from :func:`dataset_script.splits.write_splits`.
        num_shards: Parts of a split, for a stream that several loader workers read.
        count: Number of synthetic videos.
        seed: Seed of the first synthetic video.
        download: Fetches the source (``"vidvrd"`` or ``"vidor"``) into `data_dir` from the Hugging Face Hub
            first.
        cache_dir: Where tables are kept; None for the cache of `datasets`.
        options: Further arguments of the source's reader (``fps`` of ``"semtrack"``), or of
            :class:`dataset_script.synthetic.SyntheticConfig` (``width``, ``seconds``, ...).

    Returns:
        A `Dataset`, or with `streaming` an `IterableDataset`, or a dictionary of them.

    Raises:
        ValueError: If there is no such source, an argument does not fit it, or a file of it is broken
            (:class:`dataset_script.sources.reading.SourceError` names the file and the position).

    Example:
        >>> dataset = load_semtrack("synthetic", split="train", streaming=True, count=20)
        >>> record = row_to_record(next(iter(dataset)))
    """
    if source not in (*SOURCES, SYNTHETIC):
        raise ValueError(f"source must be one of {', '.join((SYNTHETIC, *sorted(SOURCES)))}, got {source!r}")
    if download:
        if data_dir is None:
            raise ValueError("download=True needs data_dir=...: the folder to download to")
        hub.download(source, data_dir)
    builder = SemTrackDataset(
        config_name=source,
        hash=code_hash(),
        cache_dir=None if cache_dir is None else str(cache_dir),
        **_changed(
            data_dir=None if data_dir is None else str(Path(data_dir).absolute()),
            video_dir=None if video_dir is None else str(Path(video_dir).absolute()),
            splits=None if splits is None else str(Path(splits).absolute()),
            videos=videos,
            skip_broken=skip_broken or skipped is not None,
            num_shards=num_shards,
            count=count,
            seed=seed,
            options=options or None,
        ),
    )
    if streaming:
        builder.skipped = builder.skipped if skipped is None else skipped
        return builder.as_streaming_dataset(split=split)
    try:
        builder.download_and_prepare(num_proc=num_proc)
    except datasets.exceptions.DatasetGenerationError as error:
        if isinstance(error.__cause__, (ValueError, OSError)):
            raise error.__cause__ from None
        raise
    if skipped is not None:
        skipped += builder.skipped
    return builder.as_dataset(split=split)


def register() -> None:
    """Makes ``load_dataset("semtrack", <source>, data_dir=...)`` work in this process.

    `datasets` has no public way to add a builder: this one uses its private table of packaged modules, and
    `load_dataset` then looks for data files in `data_dir` (or else in the working folder) before it asks the
    builder. :func:`load_semtrack` needs neither.

    Raises:
        RuntimeError: If this version of `datasets` has no such table.
    """
    table = getattr(packaged_modules, "_PACKAGED_DATASETS_MODULES", None)
    if table is None:
        raise RuntimeError(f"datasets {datasets.__version__} has no table of packaged modules; use load_semtrack")
    table["semtrack"] = (semtrack.__name__, code_hash())


def code_hash() -> str:
    """A hash of the code that makes the rows; prepared tables of other code are not used."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _changed(**arguments: Any) -> dict[str, Any]:
    """The arguments that differ from the configuration's defaults (the others would only blow up its name)."""
    defaults = semtrack.SemTrackBuilderConfig()
    return {name: value for name, value in arguments.items() if value != getattr(defaults, name)}

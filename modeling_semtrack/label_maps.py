"""A trained model with fewer interactions: those that it has not learned well only raise false alarms.

python -m modeling_semtrack.label_maps --model DIR --keep push hug "pick up" --output DIR
"""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path

from .checkpoint import export_checkpoint, load_checkpoint
from .configuration_semtrack import SemTrackConfig
from .modeling_semtrack import SemTrackModel

CLASSIFIERS = ("semantic_head.readout.activity_classifier", "semantic_head.readout.interaction_classifier")


def main() -> None:
    """Writes a checkpoint that tells the named interactions alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="folder of a checkpoint")
    parser.add_argument("--keep", required=True, nargs="+", metavar="NAME", help="interactions to keep")
    parser.add_argument("--output", required=True, help="folder to write; it must not exist")
    arguments = parser.parse_args()
    if Path(arguments.output).exists():
        raise SystemExit(f"'{arguments.output}' exists already; name a new folder")
    model, processor = load_checkpoint(arguments.model)
    try:
        model = with_interactions(model, arguments.keep)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    export_checkpoint(model, processor, arguments.output)
    print(f"{model.config.num_interactions} interactions: {arguments.output}")


def with_interactions(model: SemTrackModel, names: Collection[str]) -> SemTrackModel:
    """The same model in eval mode, with the classes of these names only, in the order of its own map.

    Raises:
        ValueError: If a name is unknown to the model, or none is left.
    """
    config = model.config
    unknown = sorted(set(names) - set(config.interaction2id))
    if unknown or not names:
        known = ", ".join(config.interaction2id)
        raise ValueError(f"interactions must be some of: {known}; got {', '.join(unknown) or 'none'}")
    kept = [index for index, name in config.id2interaction.items() if name in names]
    renamed = {place: config.id2interaction[index] for place, index in enumerate(kept)}
    weights = model.state_dict()
    for name in (f"{layer}.{part}" for layer in CLASSIFIERS for part in ("weight", "bias")):
        weights[name] = weights[name][[*kept, config.num_interactions]]
    smaller = SemTrackModel(SemTrackConfig.from_dict(config.to_dict() | {"id2interaction": renamed}))
    smaller.load_state_dict(weights)
    return smaller.to(model.device, model.dtype).eval()


if __name__ == "__main__":
    main()

"""Which options say how a model is made: such words do not go with a model that is made already."""

from quantseg.refinement.options import Options

_MADE_BY = {
    "calibrator": "calibrator=…",
    "percentile": "calibrator=percentile:…",
    "effort": "effort=…",
    "qformat": "format=…",
    "seed": "seed=…",
    "target": "target=…",
}
_SETTINGS_MADE_BY = {
    "activation": "activations=…",
    "weight": "weights=…",
    "per_channel": "per_channel=False",
    "symmetric": "symmetric=True",
    "full_range_weights": "full_range_weights=True",
    "reduce_range": "reduce_range=True",
    "reduced_channels": "reduced_channels=…",
    "include": "include=…",
    "exclude": "exclude=…",
}
"""Field of Options, or of its settings, that says how a model is made → its word in a message."""


def made_by(options: Options) -> tuple[str, ...]:
    """The words of the options, other than their defaults, that say how a model is made."""
    plain, fold = Options(), options.fold
    words = [word for name, word in _MADE_BY.items() if getattr(options, name) != getattr(plain, name)]
    words += [f"fold='{name}'" for name in ("preprocess", "argmax") if getattr(fold, name)]
    own, default = options.settings, plain.settings
    return (*words, *(word for name, word in _SETTINGS_MADE_BY.items() if getattr(own, name) != getattr(default, name)))

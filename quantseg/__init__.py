"""quantseg: float segmentation models in, int8 models out, with the proof that they draw the same mask."""

__version__ = "0.1.0"

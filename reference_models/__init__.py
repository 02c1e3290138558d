"""Small segmentation models that this project trains itself, so that demo and tests need no download.

Importing this package is cheap; torch is needed only to train and export. The weights are also a distribution of their
own, quantseg-zoo, in which this file is the package quantseg_zoo.
"""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""Folder of the trained models: NAME.onnx, and NAME.json that says how it was made and how well it does."""

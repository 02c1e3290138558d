"""Classical methods of segmentation: each parts an image into segments, without labels and without training.

A new one is a file here with a function (image, classes) → segments, and a line of CLASSICAL in `table.py`.
"""

"""Bounds on what files of strangers may take. Each is compared before memory or time is taken, not after.

They are far above what real models and data need: a file that exceeds one is damaged or made to do harm. Functions read
them as `limits.NAME`.
"""

MODEL_BYTES = (1 << 31) - 1
"""Of one model file: the most that a protobuf message holds. A larger model keeps its weights in external files."""
MODEL_MESSAGES = 1 << 22
"""Nodes, attributes, tensors, sizes … of a model file together: each takes up to a hundred times its bytes."""
MODEL_NODES = 1 << 18
"""Nodes once local functions are written out: functions that call each other twice double that with every level."""
FUNCTION_DEPTH = 64
"""Levels of functions that call others: runtimes follow them by recursion."""
EXTERNAL_REUSE = 16
"""How often the bytes of external files may be used on average: tensors that overlap multiply a small file."""
FOLDED_CONSTANT = 1 << 26
"""Bytes of one constant that is computed in place of its node (64 MB); beyond, the node makes the smaller file."""
FOLDED_CONSTANTS = 1 << 28
"""Bytes of all constants that nodes compute from constants (256 MB), to which FOLDED_PER_STORED is added: Expand makes
any number of them from a single value."""
FOLDED_PER_STORED = 8
"""Bytes of such constants for each byte of weights that the file stores: float16 weights are cast, transposed, cut."""
LOOP_TRIPS = 1 << 20
"""Trips of loops whose end the file itself tells, those of loops around them multiplied."""
VECTORS = 1 << 20
"""Elements of all tensors of one axis: with more, shapes are not inferred from values, which takes 600 bytes each."""

RECIPE_BYTES = 1 << 18
"""Of a recipe, in a file or in a model's metadata: 4096 names of classes have room in it."""
RECIPE_KEY = 8
"""Parts of a dotted key in a recipe, whose own have two: a TOML parser takes the square of their number."""
INPUT_SIDE = 16384
"""Height or width, in pixels, that a recipe may ask for."""

JSON_BYTES = 1 << 28
"""Of a calibration file, or a file of channels (256 MB). A model of 500 nodes takes 25 MB."""
JSON_LISTS = 1 << 20
"""Lists and objects in one: in Python each takes twenty times the bytes of its JSON."""
ARCHIVE_DIRECTORY = 1 << 25
"""Bytes of the list of contents of an .npz file: zipfile reads it whole, and in Python it takes ten times its bytes."""
ARCHIVE_TEXT = 1 << 24
"""Bytes of a text in one, such as the description of a saved run: the names of a hundred thousand images."""

IMAGE_PIXELS = 1 << 26
"""Of an image or mask (67 million, 8192 x 8192): refused before its pixels are decoded."""
ARRAY_ITEMS = 1 << 28
"""Elements of an .npy or .npz array (268 million, 1 GiB of float32)."""
ARRAY_HEADER = 4096
"""Bytes of an array's header, which numpy parses as Python text."""
LIST_BYTES = 1 << 24
"""Of a list of images, such as those of Pascal VOC: a million names."""
PATH_LENGTH, NAME_LENGTH = 1024, 255
"""Characters of a path and bytes of a file name in such a list: what file systems allow."""
INSTANCE_PIXELS = 1 << 30
"""Of the masks of all instances of one image, or of all classes that these cover: a byte each."""
COCO_BYTES = 1 << 29
"""Of an annotation file; COCO's own largest, instances_train2017, has 470 MB."""
COCO_LISTS, COCO_VALUES = 1 << 24, 1 << 27
"""Lists and objects together, and values in all: in Python they take many times the bytes of their JSON."""
COCO_CATEGORIES = 4096
"""Categories of an annotation file."""
COCO_OUTLINE = 1 << 20
"""Pixels along the outline of an object; pycocotools allocates five points per pixel."""

RUN_SECONDS = 600.0
"""Seconds that a runtime may take for one image where none are given: a Loop may never end."""

"""Kinds of models and files that people brought and that failed: what is right, and the test that holds it."""

STRANGERS = "tests/test_strangers.py"
READING = "tests/graph/test_reading.py"
CASES: tuple[tuple[str, str, str], ...] = (
    (
        "weights share one zero-point (exact sums of onnxruntime)",
        "opens",
        "tests/simulation/test_saturation.py::test_every_weight_has_constants_of_its_own",
    ),
    (
        "an operator whose output type the graph does not say",
        "type and rank from a run, integers behind it",
        f"{STRANGERS}::test_it_computes_in_integers_and_stays_near_float",
    ),
    (
        "attention masks of −inf, −1e9, −3.4e38; a bounded quotient",
        "that tensor float, 28 dB",
        f"{STRANGERS}::test_it_computes_in_integers_and_stays_near_float",
    ),
    (
        "−inf around a MaxPool",
        "in the MaxPool's own padding",
        "tests/graph/passes/test_pad.py::test_a_max_pool_pads_itself",
    ),
    (
        "infinity from a convolution, in an image or output",
        "one line",
        f"{STRANGERS}::test_an_infinite_result_of_a_convolution_is_an_error",
    ),
    ("−1 for an open axis", "open", "tests/graph/test_declarations.py::test_a_size_below_zero_is_an_open_axis"),
    (
        "several inputs in .npz, or constants beside images",
        "all fed, calibrated, quantised",
        "tests/calibration/test_several_inputs.py::test_every_input_is_observed_and_the_ranges_are_those_of_runs_by_hand",
    ),
    ("stale declared shapes", "dropped with a note", f"{STRANGERS}::test_what_was_changed_on_reading_is_told"),
    (
        "an operator that the runtime lacks",
        "one line with the file",
        f"{STRANGERS}::test_an_operator_that_the_runtime_lacks_is_one_line_with_the_file",
    ),
    ("GroupNormalization 18", "read, integers around it", "tests/graph/passes/test_group_norm.py::test_the_same_image"),
    (
        "sizes computed from the input",
        "known once the size is",
        f"{STRANGERS}::test_sizes_that_the_graph_computes_are_known_once_the_size_is",
    ),
    (
        "Resize 18 with axes and a policy",
        "resolved sizes",
        "tests/graph/passes/test_axes.py::test_sizes_that_keep_proportions_are_resolved_where_that_is_exact",
    ),
    (
        "unpooling by indices, casts to integers",
        "float with a reason",
        f"{STRANGERS}::test_what_is_read_exactly_stays_float_with_its_reason",
    ),
    (
        "open height and width, arrays as data",
        "the arrays say it",
        f"{STRANGERS}::test_a_model_of_open_sizes_that_computes_none_stays_open",
    ),
    ("float16, bfloat16", "float32 inside", "tests/graph/test_half_floats.py::test_the_same_numbers_and_types"),
    ("volumes", "quantised, slices judged", f"{STRANGERS}::test_masks_of_a_volume_are_its_slices_one_below_another"),
    (
        "s01: external data in a function's attribute",
        "refused, nothing read",
        f"{READING}::test_no_tensor_anywhere_is_read_from_outside_the_folder",
    ),
    (
        "t01, t02, t03, t04, t06: damaged models",
        "one line with the file",
        f"{READING}::test_bad_file_gives_one_line_that_names_it",
    ),
    ("t05: string tensors", "kept", f"{READING}::test_strings_are_kept"),
    (
        "t12: a model by a symbolic link",
        "data beside the link",
        f"{READING}::test_the_folder_of_a_model_by_a_link_is_that_of_the_link",
    ),
    (
        "t07, w01: outputs onto folders, links, devices",
        "refused before work",
        "tests/cli/test_places.py::test_a_device_is_refused_before_work_begins",
    ),
    (
        "t08: an image name that is not UTF-8",
        "one line",
        "tests/data/test_place.py::test_names_that_are_not_utf8_are_one_line",
    ),
    (
        "t09: Infinity and deep JSON",
        "one line",
        "tests/simulation/test_program.py::test_a_file_that_names_no_channels_is_one_line",
    ),
    (
        "t10: a header of an array with odd sizes",
        "one line",
        "tests/data/layouts/test_arrays.py::test_headers_that_other_programs_write_are_read",
    ),
    (
        "m01: constants that outgrow their file",
        "one line, before memory is taken",
        "tests/cli/test_places.py::test_constants_that_outgrow_their_file_are_refused_by_name",
    ),
    (
        "m02: a recipe of 50,000 dots",
        "one line, at once",
        "tests/data/test_recipe.py::test_a_recipe_of_a_stranger_takes_little_time_and_is_one_short_line",
    ),
    ("h01: a named pipe among the data", "never opened", f"{READING}::test_a_named_pipe_is_not_opened"),
    (
        "h02: a Loop without an end",
        "one line with its node; a time limit",
        "tests/runtimes/test_deadlines.py::test_a_loop_without_end_is_ended_and_named",
    ),
    (
        "links out of the data folder",
        "refused, unless --follow-links",
        "tests/data/test_place.py::test_links_out_of_the_folder_are_refused_and_followed_where_that_is_asked_for",
    ),
    (
        "Ctrl-C, SIGTERM, workers without a parent",
        "one line, 130 or 143, nothing left",
        "tests/cli/test_ending.py::test_a_file_that_is_not_complete_goes_with_its_folder",
    ),
    (
        "text of strangers",
        "inert everywhere",
        "tests/cli/test_strangers.py::test_calibrate_and_its_file_has_the_true_names",
    ),
)
"""(what people brought, what is right, the test that holds it)."""

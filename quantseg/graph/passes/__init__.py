"""Graph rewrites from float to float that keep what the model computes, one per file, in the order of application.

Each edits the model in place and returns its changes and refusals. Shapes are inferred anew before each.
"""

from collections.abc import Callable

import onnx_ir as ir

from quantseg.graph.passes.activations import recognise_activations
from quantseg.graph.passes.arithmetic import lower_arithmetic
from quantseg.graph.passes.average_pools import lower_average_pools
from quantseg.graph.passes.axes import write_all_axes
from quantseg.graph.passes.batch_norm import fold_batch_norms
from quantseg.graph.passes.channel_shuffle import recognise_channel_shuffles
from quantseg.graph.passes.clamps import merge_clamps
from quantseg.graph.passes.constants import fold_constants, fold_more_constants
from quantseg.graph.passes.conv_transpose import lower_conv_transposes, lower_deep_conv_transposes
from quantseg.graph.passes.dead import remove_dead
from quantseg.graph.passes.early_clamps import move_clamps_early
from quantseg.graph.passes.group_norm import lower_group_norms
from quantseg.graph.passes.hard_sigmoid import lower_hard_sigmoids
from quantseg.graph.passes.hard_swish import lower_hard_swishes
from quantseg.graph.passes.identity import remove_identities
from quantseg.graph.passes.normalisations import recognise_normalisations
from quantseg.graph.passes.opset import convert
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome
from quantseg.graph.passes.pad import merge_pads
from quantseg.graph.passes.prelu import lower_prelus
from quantseg.graph.passes.reductions import lower_reductions
from quantseg.graph.passes.scales import fold_scales
from quantseg.graph.passes.tanh import lower_tanhs
from quantseg.graph.passes.transposes import sink_transposes
from quantseg.graph.passes.unlike_channels import part_unlike_channels
from quantseg.graph.passes.unpooling import lower_unpooling

Lowering = Callable[[ir.Model], RewriteOutcome]

LOWERINGS: dict[str, Lowering] = {
    "fold_constants": fold_constants,
    "fold_more_constants": fold_more_constants,  # shapes that the first pass made constant
    "remove_identities": remove_identities,
    "lower_group_norms": lower_group_norms,  # before what folds and lowers the arithmetic that it leaves
    "recognise_channel_shuffles": recognise_channel_shuffles,
    "sink_transposes": sink_transposes,
    "merge_clamps": merge_clamps,  # before the activations that contain a Relu6
    "recognise_activations": recognise_activations,  # before folding: hard-swish contains an Add and a Div
    "fold_batch_norms": fold_batch_norms,  # before merge_pads: a Pad may lie between
    "recognise_normalisations": recognise_normalisations,  # the next two leave their nodes alone
    "lower_reductions": lower_reductions,
    "lower_arithmetic": lower_arithmetic,  # after folding, which removes most of it
    "fold_scales": fold_scales,  # also those that lower_arithmetic makes
    "lower_tanhs": lower_tanhs,
    "lower_hard_swishes": lower_hard_swishes,  # after folding, so that the convolution is their producer
    "lower_hard_sigmoids": lower_hard_sigmoids,  # also those that lower_hard_swishes makes
    "lower_prelus": lower_prelus,
    "lower_deep_conv_transposes": lower_deep_conv_transposes,  # those alone for targets without the next one
    "lower_conv_transposes": lower_conv_transposes,
    "lower_unpooling": lower_unpooling,
    "move_clamps_early": move_clamps_early,  # past the pixel shuffles that replaced ConvTranspose
    "lower_average_pools": lower_average_pools,
    "merge_pads": merge_pads,  # also into the convolutions that replaced ConvTranspose
    "part_unlike_channels": part_unlike_channels,  # after what folds into convolutions
    "write_all_axes": write_all_axes,
    "remove_dead": remove_dead,
}

__all__ = ["LOWERINGS", "Change", "Lowering", "Refusal", "RewriteOutcome", "convert"]

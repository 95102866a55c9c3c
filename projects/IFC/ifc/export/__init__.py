# SPDX-License-Identifier: Apache-2.0
"""A trained model for programs without this one: its two networks, by torch.export or in ONNX's format."""

from .exporting import FORMATS, export_model, write_networks

__all__ = ["FORMATS", "export_model", "write_networks"]

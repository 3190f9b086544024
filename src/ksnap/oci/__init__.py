"""Checkpoint images as bytes: configuration, manifest and index, without input or output.

Start at `checkpoint_image.build_image`.
"""

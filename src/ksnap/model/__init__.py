"""Words that every room shares: digests, image references, pods, checkpoint keys, capture messages.

Values only: nothing here does input or output, and nothing here imports another room.
"""

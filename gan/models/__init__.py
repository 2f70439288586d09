"""One file per architecture.

A generator turns noise (B, noise_dim) into images (B, C, H, W) and says in `pixel_range` between which values
real ones should lie; a discriminator turns images into logits (B,). Both are built from the ImageShape of the data,
and both take labels (B,) as well once a trick has told them of classes.
"""

"""One file per architecture, each with a Generator and a Discriminator on the base classes in `base.py`."""

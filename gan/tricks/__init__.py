"""Tricks that run code. A trick that is only a number is one file in `conf/trick` and no code."""

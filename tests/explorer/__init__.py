"""Tests of gan.explorer."""

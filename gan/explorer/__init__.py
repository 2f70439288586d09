"""One HTML page that runs a generator in the browser, to move in its noise: `sample.py format=explorer`."""

"""Sample images from a trained generator, or export it. `python sample.py --help` lists the settings."""

from gan import programs

if __name__ == "__main__":
    programs.sample()

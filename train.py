"""Train a GAN. `python train.py --help` lists the settings."""

from gan import programs

if __name__ == "__main__":
    programs.train()

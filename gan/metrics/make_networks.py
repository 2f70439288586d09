"""Train the feature networks that come with this project: `python -m gan.metrics.make_networks`.

Needed only after a change to `gan.metrics.features` or to the drawn digits. All scores change with the networks.
"""

import os
from pathlib import Path

import torch
from safetensors.torch import save

from gan.data import datasets
from gan.metrics import features
from gan.system import files


def main() -> None:
    device, cache = torch.device("cpu"), Path("data")
    folders = Path(os.environ.get("GAN_DATA", "data")), cache
    splits = {
        "digits": [
            datasets.digits(*folders, split, count=20_000, limit=None, image_size=None) for split in ("train", "test")
        ],
        "mnist": [datasets.mnist(*folders, split, limit=None, image_size=None) for split in ("train", "test")],
    }
    for name, (train, test) in splits.items():
        network = features.train_classifier(train, device)
        weights = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
        accuracy = features.measure_accuracy(network, test, device)
        with files.atomic_write(features.SHIPPED / f"{name}.safetensors") as file:
            file.write(save(weights | {"accuracy": torch.tensor(accuracy, dtype=torch.float64)}))
        print(f"{name}: accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()

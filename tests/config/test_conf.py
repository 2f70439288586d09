"""The YAML files of conf/ and the code agree."""

import inspect

import pytest
from hydra.utils import get_object
from omegaconf import OmegaConf

from gan.config import check
from tests.conftest import CONF, composed, options

GROUPS = [(group, option) for group in ("model", "optim", "loss", "dataset", "trick") for option in options(group)]


def nodes(tree, path=""):
    """Every node with a `_target_`."""
    if isinstance(tree, dict):
        if "_target_" in tree:
            yield path, tree
        for name, child in tree.items():
            yield from nodes(child, f"{path}.{name}")


@pytest.mark.parametrize(("group", "option"), GROUPS)
def test_an_option_lists_every_keyword_argument(group, option):
    chosen = f"{group}=[{option}]" if group == "trick" else f"{group}={option}"
    tree = OmegaConf.to_container(composed(chosen)[group], resolve=group != "dataset")
    for path, node in nodes(tree, group):
        target = get_object(node["_target_"])
        if not target.__module__.startswith("gan"):
            continue
        keywords = {
            name
            for name, parameter in inspect.signature(target).parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        assert set(node) - {"_target_", "_partial_"} == keywords, path


def test_every_trick_has_an_experiment_for_the_ablation():
    names = {path.stem for path in (CONF / "experiment" / "trick").glob("*.yaml")}
    assert names == {*options("trick"), "acgan", "ema", "none", "mixed_batches"}
    for name in sorted(names):
        check.check_config(composed(f"experiment=trick/{name}"))

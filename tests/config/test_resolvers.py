"""Functions that conf/ calls."""

import pytest
from omegaconf import OmegaConf

from gan.data.image_shape import ImageShape
from gan.models.layers import has_batch_norm
from gan.training import build
from tests.conftest import composed, narrow, options

PENALTIES = ["r1", "r2", "wgan_gp", "dragan"]


@pytest.mark.parametrize("model", ["dcgan", "dcgan_wide", "conv", "conv_wide"])
@pytest.mark.parametrize("trick", options("trick"))
def test_a_discriminator_has_batch_norm_unless_there_is_a_gradient_penalty(model, trick):
    cfg = composed(f"model={model}", f"trick=[{trick}]", *narrow(model))
    assert cfg.model.discriminator.norm == ("none" if trick in PENALTIES else "batch")
    assert cfg.model.generator.norm == "batch"


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_network_is_built_without_batch_norm_beside_other_tricks_too(penalty):
    cfg = composed("model=dcgan", f"trick=[instance_noise,{penalty}]", *narrow("dcgan"))
    assert not has_batch_norm(build.build_networks(cfg, ImageShape(1, 28, 10))[1])


def test_what_the_user_types_is_kept():
    assert composed("model=dcgan", "trick=[r1]", "model.discriminator.norm=batch").model.discriminator.norm == "batch"
    assert composed("model=dcgan", "model.discriminator.norm=none").model.discriminator.norm == "none"


def test_a_penalty_of_any_name_counts_and_a_trick_that_is_only_a_number_does_not():
    cfg = OmegaConf.create(
        {"trick": {"mine": {"_target_": "gan.tricks.gradient_penalty.R2"}}, "norm": "${norm_for_tricks:batch,${trick}}"}
    )
    assert cfg.norm == "none"
    cfg.trick = {"weight_clipping": {"limit": 0.01}, "odd": None}
    assert cfg.norm == "batch"

"""What cannot go together, and shows only once the parts are built, gets one sentence that names the settings."""

import pytest

from gan.config import check
from gan.config.errors import ConfigError
from gan.training import build
from tests.conftest import NARROW, composed

# The overrides, and what the sentence names.
INCOMPATIBLE = [
    (["loss=wasserstein"], ["weight_clipping", "spectral_norm", "wgan_gp"]),
    (["trick=[wgan_gp,r1]"], ["wgan_gp", "r1"]),
    (["trick=[spectral_norm,weight_clipping]"], ["spectral_norm", "weight_clipping"]),
    (["trick=[weight_clipping,wgan_gp]"], ["weight_clipping"]),
    (["trick=[r1,minibatch_discrimination]"], ["minibatch_discrimination"]),
    (["model=residual", "trick=[spectral_norm]", *NARROW["residual"]], ["spectral_norm"]),
    (
        ["model=dcgan", "trick=[r1]", "model.discriminator.norm=batch", *NARROW["dcgan"]],
        ["BatchNorm", "model.discriminator.norm=none"],
    ),
    (["trick=[separate_batches]"], ["separate_batches"]),
    (["trick=[track_failures]", "train.batch_size=1"], ["train.batch_size"]),
    (["trick=[track_failures]", "watch.log_every=null"], ["watch.log_every"]),
    (["trick=[track_failures]", "watch.log_every=[]"], ["watch.log_every"]),
    (["model=conv", "train.batch_size=1"], ["train.batch_size=1"]),
    (["model.discriminator.norm=batch", "trick=[packing]", "train.batch_size=2"], ["train.batch_size=2", "4"]),
    (["model.discriminator.hidden=[]", "trick=[packing]"], ["packing"]),
    (["trick=[more_discriminator]", "train.batch_size=16"], ["discriminator_steps", "64"]),
    (
        [
            "trick=[conditional]",
            "train.reuse_fakes=true",
            "train.update=generator_first",
            "train.discriminator_steps=2",
        ],
        ["conditional"],
    ),
    (["model.discriminator.dropout=[0.1,0.2]"], ["dropout=[0.1, 0.2]", "3"]),
    (["loss.real_target=[1.0,0.9]"], ["loss.real_target=[1.0, 0.9]"]),
    (["dataset=image_folder", "dataset.path=nowhere"], ["dataset.path=nowhere"]),
    (["dataset=image_folder", "dataset.path="], ["dataset.path"]),
    (["optim.generator._target_=torch.optim.AdamW"], ["optim.generator", "optim.generator.fused=true"]),
    (["optim=sgd", "optim.generator.nesterov=true", "optim.generator.momentum=0"], ["momentum=0"]),
    (["optim=goodfellow2014", "optim.schedule.momentum.from_epoch=250"], ["from_epoch=250", "to_epoch=250"]),
    (["+optim.schedule.lrr={_target_: gan.optim.Decay, factor: 2.0, minimum: 0.0}"], ["optim.schedule.lrr", "lr, eps"]),
    (["+optim.schedule.betas={_target_: gan.optim.Decay, factor: 2.0, minimum: 0.0}"], ["optim.schedule.betas", "lr, eps"]),
]  # fmt: skip


@pytest.mark.parametrize(("overrides", "names"), INCOMPATIBLE, ids=lambda value: " ".join(value))
def test_settings_that_cannot_go_together_are_named_in_one_sentence(small, overrides, names):
    few = small if "dataset=image_folder" not in overrides else small[:2]
    cfg = composed(*few, *overrides)
    settings = check.check_config(cfg)
    with pytest.raises(ConfigError) as caught:
        build.build_run(cfg, settings, {})
    message = str(caught.value)
    assert all(name in message for name in names), message
    assert "\n" not in message and message.endswith(".")


@pytest.mark.parametrize("overrides", [["loss=wasserstein"], ["trick=[r1,wgan_gp]"]])
def test_choices_that_contradict_each_other_are_found_before_the_data_are_loaded(overrides):
    cfg = composed("dataset=image_folder", "dataset.path=nowhere", *overrides)
    with pytest.raises(ConfigError, match="wgan_gp"):
        build.build_run(cfg, check.check_config(cfg), {})

"""What a composed configuration may not have is found before anything is built, in one sentence."""

import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from gan.cli import messages
from gan.config import check
from gan.config.errors import ConfigError
from gan.config.schema import Settings
from tests.conftest import composed, options

# The overrides, the setting that is named, and an option or a limit that is.
WRONG = [
    (["train.update=simultaneous", "train.discriminator_steps=3"], "train.discriminator_steps=3", "must be 1"),
    (["train.update=simultaneous", "train.reuse_fakes=true"], "train.reuse_fakes=true", "must be false"),
    (["+optim.lrr=1"], "optim.lrr:", "generator"),
    (["optim.discriminator=5"], "optim.discriminator=5", ""),
    (["+model.encoder=5"], "model.encoder:", "discriminator, generator"),
    (["~model.generator"], "model.generator=", ""),
    (["model.generator.activation=sine"], "model.generator.activation=sine", "'relu'"),
    (["+optim.schedule.lr=0.1"], "optim.schedule.lr=0.1", "goodfellow2014.yaml"),
    (["+optim.schedule.lr={factor: 1.1}"], "optim.schedule.lr=", "goodfellow2014.yaml"),
    (["+optim.schedule.lr={_target_: os.getcwd}"], "optim.schedule.lr=", "goodfellow2014.yaml"),
    (["+trick.foo=1"], "trick.foo=1", ""),
    (["+optim.generator.lrr=1"], "optim.generator.lrr:", "betas"),
    (["~optim.generator.lr"], "optim", "lr"),
    (["optim.generator.lr=0"], "optim.generator.lr=0", "> 0"),
    (["optim.generator.lr=inf"], "optim.generator.lr=", "finite"),
    (["optim.generator.betas=[0.5]"], "optim.generator.betas=[0.5]", "longer"),
    (["optim.generator.betas=[0.5,0.9,0.9]"], "optim.generator.betas=", "shorter"),
    (["optim.generator.betas=[1.0,0.999]"], "optim.generator.betas.0=1.0", "< 1"),
    (["optim=goodfellow2014", "optim.schedule.lr.factor=0.5"], "optim.schedule.lr.factor=0.5", ">= 1"),
    (
        ["model.generator.output=relu"],
        "model.generator.output=relu",
        "'tanh', 'tanh_unit', 'sigmoid', 'linear' or 'points'",
    ),
    (["model.generator.hidden=64"], "model.generator.hidden=64", "list"),
    (["model.discriminator.dropout=1.5"], "model.discriminator.dropout=1.5", "< 1"),
    (["model.discriminator.dropout=[0.1,1.5,0]"], "model.discriminator.dropout.1=1.5", "< 1"),
    (["train.batch_size=8.5"], "train.batch_size=8.5", "integer."),
    (["train.batch_size=true"], "train.batch_size=true", "integer"),
    (["train.update=together"], "train.update=together", "'simultaneous'"),
    (["+train.speed=3"], "train.speed:", ""),
    (["train.speed=3"], "train.speed:", "epochs"),
    (["~train.epochs"], "train.epochs:", ""),
    (["dataset=image_folder"], "dataset.path:", "dataset.path="),
    (["loss.real_target=[0.9]"], "loss.real_target=[0.9]", "longer"),
    (["loss.real_target=2"], "loss.real_target=2", "<= 1"),
    (["trick=[label_smoothing,soft_labels]"], "trick.label_smoothing.real_target:", "trick.soft_labels"),
    (
        ["trick=[separate_batches]", "train.separate_batches=true"],
        "trick.separate_batches.separate:",
        "train.separate_batches=True",
    ),
    (
        ["experiment=conv_improved", "dataset=digits", "trick=[two_time_scale]"],
        "trick.two_time_scale.generator_lr:",
        "optim.generator.lr=",
    ),
    (["watch.gif_fps=0.001"], "watch.gif_fps=0.001", ">= 0.01"),
    (["watch.gif_fps=51"], "watch.gif_fps=51", "<= 50"),
    (["watch.gif_fps=51", "watch.samples=0"], "watch.samples=0", "> 0."),  # the first of two
    (["watch.scores_images=10"], "watch.scores_images=10", "100"),
    (["watch.log_every=never"], "watch.log_every=never", "epoch"),
    (["watch.samples_at=[1,never]"], "watch.samples_at.1=never", "epoch"),
    (["seed=-1"], "seed=-1", ">= 0"),
    (["seed=${nothing}"], "seed:", "nothing"),
    (["train.epochs="], "train.epochs=", "integer"),
    (["compile=maybe"], "compile=maybe", "true or false"),
    (["trust=maybe"], "trust=maybe", "true or false"),
    (["noise=uniform"], "noise=uniform", ""),
    (["trick=[r1]", "trick.r1.gamma=0"], "trick.r1.gamma=0", "> 0"),
    (["trick=[label_smoothing]", "trick.label_smoothing.real_target=2"], "trick.label_smoothing.real_target=2", "<= 1"),
    (["trick=[label_smoothing]", "loss=hinge"], "trick.label_smoothing.real_target:", "Hinge"),
    (["trick=[label_smoothing]", "loss=naive_log"], "trick.label_smoothing.real_target:", "NaiveLog"),
    (["trick=[soft_labels]", "loss=naive_log"], "trick.soft_labels.real_target:", "NaiveLog"),
    (["trick=[soft_labels]", "loss=relativistic"], "trick.soft_labels.real_target:", "Relativistic"),
]


@pytest.mark.parametrize(("overrides", "setting", "allowed"), WRONG, ids=str)
def test_a_wrong_setting_is_named_in_one_sentence(overrides, setting, allowed):
    with pytest.raises((ConfigError, HydraException, OmegaConfBaseException)) as caught:
        check.check_config(composed(*overrides))
    message = str(caught.value) if caught.type is ConfigError else messages.explain_error(caught.value)
    assert message.startswith(setting) and allowed in message
    assert "\n" not in message and message.endswith(".")


def test_the_settings_and_their_schema_have_the_same_names():
    assert set(composed()) - set(check.GROUPS) == set(Settings.model_fields)


def test_the_check_needs_no_data():
    check.check_config(composed("dataset=mnist", "data_dir=/nowhere"))


def test_one_override_sets_both_optimizers_where_only_the_generators_is_named():
    for name in options("optim"):
        cfg = composed(f"optim={name}", "optim.generator.lr=0.5")
        assert cfg.optim.discriminator.lr == 0.5
        assert composed(f"optim={name}", "optim.discriminator.lr=0.5").optim.generator.lr != 0.5


@pytest.mark.parametrize(
    ("override", "setting"),
    [
        ("train.max_steps=None", "train.max_steps"),
        ("watch.samples_every=none", "watch.samples_every"),
        ("dataset.limit=", "dataset.limit"),
        ("~train.ema_decay", "train.ema_decay"),
    ],
)
def test_null_is_named_where_it_is_meant_and_allowed(override, setting):
    with pytest.raises(ConfigError, match=f"{setting}=null"):
        check.check_config(composed(override))
    with pytest.raises(ConfigError, match=r"train\.batch_size=None: must be an integer\."):
        check.check_config(composed("train.batch_size=None"))

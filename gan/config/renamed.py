"""Old names of settings and options, with the error message for each."""

NEW_NAMES = {
    "watch.film_fps": "watch.gif_fps",
    "watch.scores_pictures": "watch.scores_images",
    "watch.mean": "watch.log_mean",
    "train.generator_average": "train.ema_decay",
    "averaged": "ema",
    "trick.packing.pictures": "trick.packing.images",
    "trick.replay.pictures": "trick.replay.images",
    "trick.replay.share": "trick.replay.fraction",
    "trick.adaptive_augment.pictures": "trick.adaptive_augment.images",
    "trick.adaptive_augment.colour": "trick.adaptive_augment.color",
    "trick.adaptive_augment.shift": "trick.adaptive_augment.translation",
    "trick.diffaugment.colour": "trick.diffaugment.color",
    "trick.diffaugment.shift": "trick.diffaugment.translation",
    "trick.minibatch_stddev.group": "trick.minibatch_stddev.group_size",
    "trick.conditional.embedding": "trick.conditional.embedding_dim",
    "trick.spectral_norm.iterations": "trick.spectral_norm.power_iterations",
    "trick.dragan.spread": "trick.dragan.noise_scale",
    "trick.feature_matching.keep_loss": "trick.feature_matching.adversarial_weight",
    "trick.track_failures.told_apart_above": "trick.track_failures.auc_above",
    "trick.track_failures.variety_below": "trick.track_failures.diversity_below",
    "model.discriminator.drop_input": "model.discriminator.input_dropout",
    "model.discriminator.drop_hidden": "model.discriminator.hidden_dropout",
    "optim.schedule.lr.floor": "optim.schedule.lr.minimum",
    "trick.ema.decay": "train.ema_decay",
    "features=own": "features=classifier",
}
EMA = "trick=ema was replaced by the setting train.ema_decay (0.999 by default; null: none)."
# By the old name, which may be typed or come from a user's own YAML.
RENAMED = {old: f"{old} was renamed to {new}." for old, new in NEW_NAMES.items()} | {"trick=ema": EMA, "trick.ema": EMA}

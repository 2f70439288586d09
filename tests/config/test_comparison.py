"""In which settings two configurations differ."""

from omegaconf import OmegaConf

from gan.config.comparison import ADDED, describe_changes, flatten
from tests.conftest import composed


def test_a_run_from_before_a_setting_differs_only_where_the_setting_is_another():
    now = {"train": {"accumulate": 1, "batch_size": 8}, "trick": {"conditional": {"kind": "projection"}}}
    before = {"train": {"batch_size": 8}, "trick": {"conditional": {}}}
    assert describe_changes(before, now, ()) == []
    changed = describe_changes(before, now | {"train": {"accumulate": 2, "batch_size": 9}}, ())
    assert [text.split()[0] for text in changed] == ["train.accumulate", "train.batch_size"]
    assert len(describe_changes(before, now | {"trick": {"conditional": {"kind": "acgan"}}}, ())) == 1


def test_the_values_of_runs_from_before_a_setting_are_todays_defaults():
    defaults = flatten(OmegaConf.to_container(composed("trick=[conditional]"), resolve=True))
    assert {name: defaults[name] for name in ADDED} == ADDED

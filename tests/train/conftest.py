from pathlib import Path

import pytest

from tests.synthetic import make_dataset


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten triplets of 64 pixels in five episodes and three shards."""
    return make_dataset(tmp_path_factory.mktemp("tiny"), 10, image_size=64, samples_per_shard=4, samples_per_episode=2)

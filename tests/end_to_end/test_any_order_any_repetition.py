"""M3 through real Kafka and Postgres: order and repetition of delivery never matter."""

from __future__ import annotations

from random import Random

import pytest

from service_kit.clock import utc_now
from tests.conftest import StartService
from tests.end_to_end.company import ENVIRONMENT, Company
from tests.end_to_end.reference import every_email_is_explained, everything_agrees
from tests.end_to_end.streams import a_stream, deliver
from tests.support import eventually


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_shuffled_and_repeated_over_three_partitions_and_two_consumers_it_comes_out_as_the_fold_does(
    company: Company, running_service: StartService, seed: int
) -> None:
    for name in ("routing", "inbox_state"):
        await running_service(name, extra_env=ENVIRONMENT)
    random = Random(seed)
    stream = a_stream(500, utc_now(), seed=seed)
    repeated = stream + random.sample(stream, len(stream) // 3)
    random.shuffle(repeated)
    for start in range(0, len(repeated), 50):
        await deliver(company, repeated[start : start + 50], scatter=random)

    await eventually(lambda: everything_agrees(company), 60, every=0.5)
    await eventually(lambda: every_email_is_explained(company), 60, every=0.5)

import gc

from api.service import _settle


def test_what_stays_is_passed_over_by_the_garbage_collector() -> None:
    before = len(gc.get_objects())
    try:
        _settle()
        assert gc.get_freeze_count() >= before * 0.9
        assert len(gc.get_objects()) < before * 0.1
    finally:
        gc.unfreeze()

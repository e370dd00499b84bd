from __future__ import annotations

import pytest

from netd.failure import Conflict
from netd.runtime.images.reference import Reference, parse
from netd.runtime.images.removal import Users, plan_by_id, plan_by_name

IMAGE = "sha256:" + "1f" * 32
TAG, OTHER_TAG, ELSEWHERE = parse("app:1"), parse("app:2"), parse("quay.example/app:1")
DIGEST = parse("app@sha256:" + "c" * 64)
STOPPED, RUNNING = Users(stopped=("5" * 64,)), Users(running=("7" * 64,))
NOBODY = Users()


def test_one_of_two_names() -> None:
    plan = plan_by_name(IMAGE, TAG, [TAG, OTHER_TAG, DIGEST], RUNNING, force=False)
    assert plan.untag == (TAG,) and not plan.delete


def test_the_last_tag_takes_the_digest_with_it() -> None:
    plan = plan_by_name(IMAGE, TAG, [TAG, DIGEST], NOBODY, force=False)
    assert plan.untag == (TAG, DIGEST) and plan.delete


def test_the_last_tag_of_a_repository_takes_the_digest_but_another_repository_keeps_the_image() -> None:
    plan = plan_by_name(IMAGE, TAG, [TAG, DIGEST, ELSEWHERE], NOBODY, force=False)
    assert plan.untag == (TAG, DIGEST) and not plan.delete


def test_a_digest_alone() -> None:
    plan = plan_by_name(IMAGE, DIGEST, [DIGEST, TAG], NOBODY, force=False)
    assert plan.untag == (DIGEST,) and not plan.delete


@pytest.mark.parametrize("users", [STOPPED, RUNNING])
def test_the_only_name_of_a_used_image_must_be_forced(users: Users) -> None:
    with pytest.raises(Conflict) as raised:
        plan_by_name(IMAGE, TAG, [TAG, DIGEST], users, force=False)
    user = (*users.running, *users.stopped)[0][:12]
    assert str(raised.value) == (
        'conflict: unable to remove repository reference "app:1" (must force) - '
        f"container {user} is using its referenced image 1f1f1f1f1f1f"
    )


def test_forced_under_a_stopped_container_the_files_stay() -> None:
    plan = plan_by_name(IMAGE, TAG, [TAG], STOPPED, force=True)
    assert plan.delete and plan.keep_files


def test_forced_under_a_running_container_only_the_name_goes() -> None:
    plan = plan_by_name(IMAGE, TAG, [TAG], RUNNING, force=True)
    assert plan.untag == (TAG,) and not plan.delete


@pytest.mark.parametrize("names", [(), (TAG,), (TAG, DIGEST)])
def test_by_id(names: tuple[Reference, ...]) -> None:
    plan = plan_by_id(IMAGE, names, NOBODY, force=False)
    assert plan.untag == names and plan.delete and not plan.keep_files


@pytest.mark.parametrize(
    ("names", "users", "force", "words"),
    [
        ((TAG,), RUNNING, True, "(cannot be forced) - image is being used by running container 777777777777"),
        ((TAG,), RUNNING, False, "(cannot be forced) - image is being used by running container 777777777777"),
        ((TAG,), STOPPED, False, "(must be forced) - image is being used by stopped container 555555555555"),
        ((TAG, ELSEWHERE), NOBODY, False, "(must be forced) - image is referenced in multiple repositories"),
        ((TAG, OTHER_TAG), NOBODY, False, "(must be forced) - image is referenced in multiple repositories"),
    ],
)
def test_by_id_refused(names: tuple[Reference, ...], users: Users, force: bool, words: str) -> None:
    with pytest.raises(Conflict) as raised:
        plan_by_id(IMAGE, names, users, force)
    assert str(raised.value) == f"conflict: unable to delete 1f1f1f1f1f1f {words}"


def test_by_id_forced() -> None:
    plan = plan_by_id(IMAGE, (TAG, ELSEWHERE), STOPPED, force=True)
    assert plan.untag == (TAG, ELSEWHERE) and plan.delete and plan.keep_files

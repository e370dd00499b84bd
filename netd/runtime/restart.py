"""Restart policies: whether a container that ended is started again, and when (pure)."""

from __future__ import annotations

from netd.failure import InvalidParameter
from netd.runtime.model import HostConfig, RestartPolicy
from pycni.record import Record

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 60.0
_STABLE = 10.0
"""Docker's numbers: seconds until the first restart, at most, and after which a run counts as a success."""


class Backoff(Record):
    """Seconds to wait before the next restart; 0 when none was needed so far."""

    delay: float = 0.0

    def after_run(self, seconds: float) -> Backoff:
        """Doubles with every run that was short, starts anew after one of at least 10 s."""
        if self.delay == 0.0 or seconds >= _STABLE:
            return Backoff(delay=_FIRST_DELAY)
        return Backoff(delay=min(self.delay * 2, _LONGEST_DELAY))


def restarts_after_exit(policy: RestartPolicy, exit_code: int, restarts: int, stopped_by_user: bool) -> bool:
    """Whether a container whose process just ended runs again.  `restarts`: how often the policy has done so."""
    if stopped_by_user:
        return False
    return _wanted(policy, exit_code, restarts)


def restarts_with_daemon(policy: RestartPolicy, exit_code: int, restarts: int, stopped_by_user: bool) -> bool:
    """Whether a container that was started some time, and does not run, is started by a new daemon: "always" also when
    the user stopped it."""
    if stopped_by_user and policy.name != "always":
        return False
    return _wanted(policy, exit_code, restarts)


def _wanted(policy: RestartPolicy, exit_code: int, restarts: int) -> bool:
    if policy.name in ("always", "unless-stopped"):
        return True
    if policy.name == "on-failure" and exit_code != 0:
        return policy.maximum_retry_count == 0 or restarts < policy.maximum_retry_count
    return False


def check_policy(host: HostConfig) -> None:
    """InvalidParameter for a policy that does not exist or contradicts itself."""
    policy = host.restart_policy
    if policy.name not in ("", "no", "always", "unless-stopped", "on-failure"):
        raise InvalidParameter(
            f"invalid restart policy: unknown policy '{policy.name}'; use one of 'no', 'always', "
            "'on-failure', or 'unless-stopped'"
        )
    if policy.maximum_retry_count < 0:
        raise InvalidParameter("invalid restart policy: maximum retry count cannot be negative")
    if policy.maximum_retry_count and policy.name != "on-failure":
        raise InvalidParameter("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if host.auto_remove and policy.name not in ("", "no"):
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")

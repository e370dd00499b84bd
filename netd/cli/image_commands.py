"""The command line of images."""

from __future__ import annotations

from netd.cli.flags import Argument, Command, many, switch, text

_SOME = (Argument("images", "IMAGE", "some", completes="image"),)
_QUIET = switch("-q", "--quiet", help="no progress")

PULL = Command(
    "image pull",
    "get an image from a registry",
    "image_get:pull",
    (_QUIET, text("--platform", "PLATFORM", "accepted where it is this machine's own")),
    (Argument("image", "IMAGE"),),
)
LOAD = Command(
    "image load",
    "take images out of an archive (docker save, OCI)",
    "image_get:load",
    (text("-i --input", "FILE", "default: standard input", completes="file"), _QUIET),
)
IMPORT = Command(
    "image import",
    "make an image of a file system",
    "image_get:take",
    (
        many("-c --change", "INSTRUCTION", "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR, STOPSIGNAL"),
        text("-m --message", "TEXT"),
    ),
    (Argument("file", "FILE|-", completes="file"), Argument("reference", "NAME[:TAG]", "optional")),
)
LS = Command(
    "image ls",
    "list images",
    "image:ls",
    (
        switch("-a", "--all", help="accepted for docker's sake"),
        switch("-q", "--quiet", help="ids only"),
        switch("--no-trunc", help="whole ids"),
        switch("--digests", help="with digests"),
        many("-f --filter", "K=V", "reference, dangling, label, …"),
        text("--format", "TEMPLATE", "'{{.Repository}}:{{.Tag}}', json", default=None),
    ),
    (Argument("image", "NAME[:TAG]", "optional", completes="image"),),
)
RM = Command(
    "image rm",
    "remove images",
    "image:rm",
    (switch("-f", "--force", help="also with several tags or used by a container that does not run; absent is fine"),),
    _SOME,
)
INSPECT = Command(
    "image inspect",
    "show images as JSON",
    "image:inspect",
    (text("-f --format", "TEMPLATE", "'{{.Id}}', '{{json .Config}}', json", default=None),),
    _SOME,
)
TAG = Command(
    "image tag",
    "give an image one more name",
    "image:tag",
    (),
    (Argument("image", "IMAGE", completes="image"), Argument("reference", "NAME[:TAG]")),
)
HISTORY = Command(
    "image history",
    "show what an image was built of",
    "image:history",
    (
        switch("-q", "--quiet", help="ids only"),
        switch("--no-trunc", help="whole ids and commands"),
        text("--format", "TEMPLATE", "'{{.CreatedBy}} {{.Size}}', json", default=None),
    ),
    (Argument("image", "IMAGE", completes="image"),),
)
PRUNE = Command(
    "image prune",
    "remove images without a name",
    "image:prune",
    (
        switch("-a", "--all", help="all that no container is made of"),
        switch("-f", "--force", help="do not ask"),
        many("--filter", "K=V", "label, until"),
    ),
)

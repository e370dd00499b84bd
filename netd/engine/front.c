/* What the engine does for every call before it can tell what is wanted: it accepts the connection, asks who is calling,
 * receives the request and looks at the descriptors that came along.  netd/engine/front.py does the same where nobody
 * compiled this; between two of those fifteen system calls Python's code has to come into a cold cache each time.
 * Nothing is judged here. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define DESCRIPTORS 3 /* as many as the protocol has */
#define PEER_PIDFD 77 /* Linux 6.5 */
#define USER_NAMESPACE 0xFF09 /* Linux 6.11; Debian 12's headers do not have these names */
#define NAMESPACE_KIND 0xB703

/* front.py knows both by heart; who changes one changes the number. */
const int front_layout = 2;

struct caller {
    int32_t connection; /* or an error of accept(2), negative */
    int32_t pid;
    uint32_t uid, unused;
    uint64_t users; /* the user namespace's inode number, 0 where the kernel does not tell it so */
};

struct request {
    int32_t length; /* of what was received, or an error of recvmsg(2), negative */
    int32_t truncated, count, unused;
    uint64_t mount; /* of the first descriptor, 0 where the kernel does not tell it so */
    struct { int32_t fd, network; uint64_t device, inode; } passed[DESCRIPTORS];
};

static uint64_t inode(int pidfd, unsigned long kind)
{
    struct stat status;
    int fd = ioctl(pidfd, kind, 0);
    if (fd < 0)
        return 0;
    uint64_t found = fstat(fd, &status) < 0 ? 0 : status.st_ino;
    close(fd);
    return found;
}

void front_accept(int listener, struct caller *to)
{
    struct ucred peer = {0, -1, -1};
    int pidfd;
    socklen_t size = sizeof peer;
    memset(to, 0, sizeof *to);
    do
        to->connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    while (to->connection < 0 && errno == EINTR);
    if (to->connection < 0) {
        to->connection = -errno;
        return;
    }
    getsockopt(to->connection, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    to->pid = peer.pid, to->uid = peer.uid;
    size = sizeof pidfd;
    if (getsockopt(to->connection, SOL_SOCKET, PEER_PIDFD, &pidfd, &size) < 0)
        return;
    to->users = inode(pidfd, USER_NAMESPACE);
    close(pidfd);
}

static uint64_t mount_of(int fd)
{
#ifdef STATX_MNT_ID
    struct statx found;
    if (!statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &found) && found.stx_mask & STATX_MNT_ID)
        return found.stx_mnt_id;
#endif
    return (void)fd, 0;
}

/* The first part of a request, all of it nearly always. */
void front_receive(int connection, struct request *to, void *buffer, int size, int seconds)
{
    union { struct cmsghdr align; char space[CMSG_SPACE(DESCRIPTORS * sizeof(int))]; } control;
    struct iovec part = {buffer, (size_t)size};
    /* room for exactly as many: the kernel then says MSG_CTRUNC of any further one */
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = CMSG_LEN(DESCRIPTORS * sizeof(int))};
    memset(to, 0, sizeof *to);
    ssize_t got = recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) {
        struct timeval limit = {seconds, 0};
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        do
            got = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
        while (got < 0 && errno == EINTR);
    }
    to->length = got < 0 ? -errno : (int32_t)got;
    if (got < 0)
        return;
    to->truncated = message.msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; CMSG_LEN((at + 1) * sizeof(int)) <= each->cmsg_len && to->count < DESCRIPTORS; at++) {
            struct stat status = {0};
            int fd;
            memcpy(&fd, CMSG_DATA(each) + at * sizeof fd, sizeof fd);
            fstat(fd, &status);
            to->passed[to->count].fd = fd;
            to->passed[to->count].network = ioctl(fd, NAMESPACE_KIND) == CLONE_NEWNET;
            to->passed[to->count].device = status.st_dev;
            to->passed[to->count++].inode = status.st_ino;
        }
    }
    to->mount = to->count ? mount_of(to->passed[0].fd) : 0;
}

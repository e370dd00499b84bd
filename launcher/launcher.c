/* The CNI plugin that runtimes execute: hands the call to the resident engine, or runs it in-process without one.
 *
 * Every plugin in the CNI directory is a hard link of this file and is told apart by its name.  docs/launcher-protocol.md
 * describes the wire format and what happens when the engine is absent, declines, or dies in the middle of a call.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_LIMIT (16u << 20) /* as the engine's; a larger call runs in-process */
#define ANSWER_LIMIT (64u << 20)

/* `pynet install` rewrites these lines in the file.  Not static, or the compiler could fold what it sees here. */
char launcher_config[4096] = "PYCNI-LAUNCHER-CONFIG\n"
                             "version=v1.9.1\n"
                             "socket=/run/pynet/cni.sock\n";

/* Contract 1.5.  Names missing here are not errors: their VERSION and about text come from Python. */
#define SINCE_0_4(sep) "0.4.0" sep "1.0.0" sep "1.1.0"
#define SINCE_0_1(sep) "0.1.0" sep "0.2.0" sep "0.3.0" sep "0.3.1" sep SINCE_0_4(sep)
#define PLUGIN(name, versions) { name, versions(", "), versions("\",\"") }
static const struct plugin { const char *name, *listed, *quoted; } plugins[] = {
    PLUGIN("bridge", SINCE_0_1),  PLUGIN("host-local", SINCE_0_1), PLUGIN("loopback", SINCE_0_1),
    PLUGIN("portmap", SINCE_0_1), PLUGIN("firewall", SINCE_0_4),   PLUGIN("tuning", SINCE_0_1),
    PLUGIN("dnsname", SINCE_0_1),
};

struct buffer { char *data; size_t used, size; };
struct header { char magic[4]; uint8_t version, kind; uint16_t fds; uint32_t length, parts[3]; };
enum { HEADER = 12, CALL = 1, ANSWER = 2 };
enum outcome { ANSWERED, NOT_RUN, LOST };

extern char **environ;

static const char *setting(const char *key)
{
    size_t length = strlen(key);
    for (char *line = launcher_config; *line; line += strlen(line) + 1)
        if (!strncmp(line, key, length) && line[length] == '=')
            return line + length + 1;
    return NULL;
}

static int interrupted(int fd, short events)
{
    struct pollfd wait = {fd, events, 0};
    if (errno == EAGAIN)
        poll(&wait, 1, -1); /* the caller made our standard stream non-blocking */
    return errno == EINTR || errno == EAGAIN;
}

static int put(int fd, const char *data, size_t length)
{
    while (length) {
        ssize_t done = write(fd, data, length);
        if (done < 0 && !interrupted(fd, POLLOUT))
            return 1;
        if (done > 0)
            data += done, length -= (size_t)done;
    }
    return 0;
}

/* `pynet install` refuses settings that would need escaping here. */
static int fail(int code, const char *text, const char *cause)
{
    char object[PATH_MAX + 512];
    int length = snprintf(object, sizeof object, "{\n    \"code\": %d,\n    \"msg\": \"%s%s%s\"\n}", code, text,
                          *cause ? ": " : "", cause);
    put(1, object, (size_t)length < sizeof object ? (size_t)length : sizeof object - 1);
    return 1;
}

static void append(struct buffer *to, const void *data, size_t length)
{
    if (to->size - to->used < length) {
        to->size = (to->used + length) * 2;
        to->data = realloc(to->data, to->size);
        if (!to->data)
            exit(fail(5, "error reading from stdin", strerror(ENOMEM)));
    }
    if (data)
        memcpy(to->data + to->used, data, length), to->used += length;
}

static int read_to_end(struct buffer *to)
{
    for (;;) {
        append(to, NULL, 16384);
        ssize_t got = read(0, to->data + to->used, to->size - to->used);
        if (!got)
            return 0;
        if (got > 0)
            to->used += (size_t)got;
        else if (!interrupted(0, POLLIN))
            return -1;
    }
}

static const struct plugin *find(const char *name)
{
    for (size_t at = 0; at < sizeof plugins / sizeof *plugins; at++)
        if (!strcmp(plugins[at].name, name))
            return plugins + at;
    return NULL;
}

static const char *plugin_name(const char *argument)
{
    static char path[PATH_MAX];
    const char *slash = argument ? strrchr(argument, '/') : NULL;
    const char *name = slash ? slash + 1 : argument ? argument : "";
    if (find(name))
        return name;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    slash = length > 0 ? strrchr(path, '/') : NULL;
    return slash && (!*name || find(slash + 1)) ? slash + 1 : name;
}

/* 1: all read; 0: the engine is gone and had taken the whole request; -1: errno tells. */
static int receive(int fd, void *into, size_t length)
{
    while (length) {
        ssize_t got = recv(fd, into, length, 0);
        if (!got || (got < 0 && errno != EINTR))
            return got ? -1 : 0;
        if (got > 0)
            into = (char *)into + got, length -= (size_t)got;
    }
    return 1;
}

static int send_call(int engine, const struct buffer *call, const int *fds, size_t count)
{
    union { struct cmsghdr align; char space[CMSG_SPACE(2 * sizeof(int))]; } control = {0};
    struct iovec part = {call->data, call->used};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int))};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(rights), fds, count * sizeof(int));
    while (part.iov_len) {
        ssize_t done = sendmsg(engine, &message, MSG_NOSIGNAL);
        if (done < 0 && errno != EINTR)
            return -1;
        if (done > 0) {
            part.iov_base = (char *)part.iov_base + done, part.iov_len -= (size_t)done;
            message.msg_control = NULL, message.msg_controllen = 0; /* the descriptors went with the first bytes */
        }
    }
    return 0;
}

static enum outcome ask(const char *path, struct buffer *call, struct header *answer, char **body)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *netns = getenv("CNI_NETNS");
    int engine, connected, fds[2], state;
    size_t count = 1;
    if (!path || strlen(path) >= sizeof address.sun_path || call->used - HEADER > REQUEST_LIMIT)
        return NOT_RUN;
    strcpy(address.sun_path, path);
    engine = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    do
        connected = connect(engine, (struct sockaddr *)&address, sizeof address);
    while (connected < 0 && errno == EINTR);
    fds[0] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (connected < 0 || fds[0] < 0)
        return NOT_RUN;
    fds[1] = netns && *netns ? open(netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    count += fds[1] >= 0;
    ((struct header *)call->data)->fds = htons(count);
    if (send_call(engine, call, fds, count) < 0)
        return NOT_RUN; /* an incomplete request is never executed */
    state = receive(engine, answer, HEADER);
    if (state < 0 && errno == ECONNRESET)
        return NOT_RUN; /* the kernel says so only when part of the request was still unread */
    if (state != 1 || memcmp(answer->magic, "PYNT", 4) || ntohl(answer->length) > ANSWER_LIMIT)
        return LOST;
    if (answer->kind != ANSWER || answer->version != 1)
        return NOT_RUN;
    if (ntohl(answer->length) < sizeof answer->parts || receive(engine, answer->parts, sizeof answer->parts) != 1)
        return LOST;
    size_t length = ntohl(answer->length) - sizeof answer->parts;
    if ((uint64_t)ntohl(answer->parts[1]) + ntohl(answer->parts[2]) != length)
        return LOST;
    *body = malloc(length + 1);
    return *body && receive(engine, *body, length) == 1 ? ANSWERED : LOST;
}

static int run_in_process(const char *name, const char *data, size_t length)
{
    const char *interpreter = setting("interpreter"), *entry = setting("entry"), *run_dir = setting("run-dir");
    if (!interpreter || !entry)
        return fail(999, "no engine answers and no interpreter is configured; run pynet install", "");
    if (data) {
        int copy = memfd_create("stdin", 0);
        if (copy < 0 || put(copy, data, length) || lseek(copy, 0, SEEK_SET) < 0 || dup2(copy, 0) < 0)
            return fail(5, "passing the configuration on", strerror(errno));
        close(copy);
    }
    const char *plain[] = {interpreter, "-I", "-S", entry, name, NULL};
    const char *placed[] = {interpreter, "-I", "-S", entry, "--run-dir", run_dir, name, NULL};
    execve(interpreter, (char **)(run_dir ? placed : plain), environ);
    return fail(999, "no engine answers, and the configured interpreter cannot be executed", strerror(errno));
}

/* The about text and VERSION (contract 1.8, 1.9): stdin is not read. */
static int describe(const char *name, int about)
{
    char line[PATH_MAX];
    const struct plugin *known = find(name);
    const char *version = setting("version");
    if (!known)
        return run_in_process(name, NULL, 0);
    if (about)
        snprintf(line, sizeof line, "CNI %s plugin %s\nCNI protocol versions supported: %s\n", name,
                 version ? version : "version unknown", known->listed);
    else
        snprintf(line, sizeof line, "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"%s\"]}\n", known->quoted);
    return put(about ? 2 : 1, line, strlen(line));
}

static int serve(const char *name, const char *command)
{
    struct header head = {{'P', 'Y', 'N', 'T'}, 1, CALL, 0, 0, {0}}, answer;
    struct buffer call = {0};
    char *output = NULL;
    if (isatty(0))
        return run_in_process(name, NULL, 0); /* a bad environment is reported before anything has to be typed */
    append(&call, &head, sizeof head);
    append(&call, name, strlen(name));
    for (char **variable = environ; *variable; variable++)
        append(&call, *variable, strlen(*variable) + 1);
    size_t start = call.used;
    if (read_to_end(&call))
        return run_in_process(name, NULL, 0); /* which fails to read it too, and reports that in its place */
    head.length = htonl((uint32_t)(call.used - HEADER));
    head.parts[0] = htonl((uint32_t)strlen(name));
    head.parts[1] = htonl((uint32_t)(start - sizeof head - strlen(name)));
    head.parts[2] = htonl((uint32_t)(call.used - start));
    memcpy(call.data, &head, sizeof head);

    enum outcome outcome = ask(setting("socket"), &call, &answer, &output);
    if (outcome == LOST && !strcmp(command, "ADD")) /* half of it may be done; the runtime's DEL undoes that */
        return fail(11, "the engine stopped in the middle of ADD; delete the attachment, then add it again", "");
    if (outcome != ANSWERED) /* every other command may be repeated */
        return run_in_process(name, call.data + start, call.used - start);
    size_t printed = ntohl(answer.parts[1]);
    if (put(2, output + printed, ntohl(answer.parts[2])) | put(1, output, printed))
        return 1;
    return (int)(ntohl(answer.parts[0]) & 0xff);
}

int main(int argc, char **argv)
{
    for (int fd = 0, mode = O_WRONLY; fd < 3; fd++, mode = O_RDWR) /* reading a stdin that was closed must fail */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", mode) != fd)
            return 1;
    launcher_config[sizeof launcher_config - 2] = launcher_config[sizeof launcher_config - 1] = 0;
    for (char *at = launcher_config; (at = strchr(at, '\n')); at++)
        *at = 0;
    const char *name = plugin_name(argc ? argv[0] : NULL), *command = getenv("CNI_COMMAND");
    if (!command || !*command || !strcmp(command, "VERSION"))
        return describe(name, !command || !*command);
    return serve(name, command);
}

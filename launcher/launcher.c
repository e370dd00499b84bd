/* The CNI plugin that runtimes execute: hands the call to the resident engine, or runs it in-process without one.
 *
 * Every plugin in the CNI directory is a hard link of this file and is told apart by its name.  docs/launcher-protocol.md
 * describes the wire format and what happens when the engine is absent, declines, or dies in the middle of a call.
 *
 * A call is mostly the price of starting this program, and that is mostly page faults.  So it uses no C library where it
 * can (BARE, see build.py), has no writable data, allocates nothing as long as a call is small, and sends the environment
 * from where the kernel put it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include "bare.h"

#define REQUEST_LIMIT (16u << 20) /* as the engine's; a larger call runs in-process */
#define ANSWER_LIMIT (64u << 20)
#define PATH_SIZE 4096
#define USUAL 3072 /* bytes of a usual configuration or answer; what is larger gets memory of its own */
#define TCGETS 0x5401
#define SIOCGSKNS 0x894C /* musl has no kernel headers */
#define APART __attribute__((noinline)) /* what a usual call does not need keeps off its part of the stack */

/* `pynet install` rewrites these lines in the file. */
const char launcher_config[4096] = "PYCNI-LAUNCHER-CONFIG\n"
                                   "version=v1.9.1\n"
                                   "socket=/run/pynet/cni.sock\n";

/* Contract 1.5.  Names missing here are not errors: their VERSION and about text come from Python. */
#define SINCE_0_4(sep) "0.4.0" sep "1.0.0" sep "1.1.0"
#define SINCE_0_3_1(sep) "0.3.1" sep SINCE_0_4(sep)
#define SINCE_0_3(sep) "0.3.0" sep SINCE_0_3_1(sep)
#define SINCE_0_1(sep) "0.1.0" sep "0.2.0" sep SINCE_0_3(sep)
#define PLUGIN(name, versions) { name, versions(", "), versions("\",\"") }
static const struct plugin { const char *name, *listed, *quoted; } plugins[] = {
    PLUGIN("bridge", SINCE_0_1),  PLUGIN("host-local", SINCE_0_1), PLUGIN("loopback", SINCE_0_1),
    PLUGIN("portmap", SINCE_0_1), PLUGIN("firewall", SINCE_0_4),   PLUGIN("tuning", SINCE_0_1),
    PLUGIN("ptp", SINCE_0_1),     PLUGIN("macvlan", SINCE_0_1),    PLUGIN("dummy", SINCE_0_1),
    PLUGIN("tap", SINCE_0_1),     PLUGIN("ipvlan", SINCE_0_1),     PLUGIN("vlan", SINCE_0_1),
    PLUGIN("static", SINCE_0_1),  PLUGIN("bandwidth", SINCE_0_3),  PLUGIN("sbr", SINCE_0_1),
    PLUGIN("dhcp", SINCE_0_1),    PLUGIN("host-device", SINCE_0_1), PLUGIN("vrf", SINCE_0_3_1),
    PLUGIN("dnsname", SINCE_0_1),
};

struct header { char magic[4]; uint8_t version, kind; uint16_t fds; uint32_t length, parts[3]; };
struct buffer { char *data; size_t used, size; };
struct process { char **arguments, **environment; const char *variables; size_t variables_size; };
enum { HEADER = 12, VERSION = 2, CALL = 1, ANSWER = 2 };
enum outcome { ANSWERED, NOT_RUN, LOST };

static const char *variable(const struct process *self, const char *key)
{
    const char *value = NULL;
    for (char **each = self->environment; *each && !value; each++)
        value = value_of(*each, key);
    return value;
}

/* Copies a setting into `into`; 0 when there is none or no room for it. */
static int setting(const char *key, char *into, size_t size)
{
    const char *line = launcher_config, *end = launcher_config + sizeof launcher_config - 2;
    __asm__("" : "+r"(line)); /* or the compiler answers from the lines above */
    for (; line < end && *line; line++) {
        const char *value = value_of(line, key);
        size_t length = 0;
        while (value && value + length < end && value[length] && value[length] != '\n')
            length++;
        if (value && length < size) {
            memcpy(into, value, length);
            into[length] = 0;
            return 1;
        }
        while (line < end && *line && *line != '\n')
            line++;
    }
    return 0;
}

/* --- input and output -------------------------------------------------------------------------------------------------- */

/* What opens next must not become a standard stream; reading a stdin that was closed must go on failing. */
static void keep_standard_streams(void)
{
    for (int fd = 0, mode = O_WRONLY; fd < 3; fd++, mode = O_RDWR)
        if (sys2(SYS_fcntl, fd, F_GETFD) < 0)
            open_file("/dev/null", mode);
}

static int interrupted(long error, int fd, short events)
{
    struct pollfd wait = {fd, events, 0};
    if (error == -EAGAIN)
        sys4(SYS_ppoll, &wait, 1, 0, 0); /* the caller made our standard stream non-blocking */
    return error == -EINTR || error == -EAGAIN;
}

static int put(int fd, const char *data, size_t length)
{
    while (length) {
        long done = sys3(SYS_write, fd, data, length);
        if (done < 0 && !interrupted(done, fd, POLLOUT))
            return 1;
        if (done > 0)
            data += done, length -= (size_t)done;
    }
    return 0;
}

static const char *reason(long error)
{
    return error == -ENOENT ? ": No such file or directory" : error == -EACCES ? ": Permission denied"
         : error == -ENOMEM ? ": Cannot allocate memory"    : error == -ENOEXEC ? ": Exec format error"
         : ": the system refused";
}

/* `pynet install` refuses settings that would need escaping here. */
APART static int fail(const char *code, const char *text, const char *cause)
{
    char object[512], *limit = object + sizeof object - 1;
    char *at = join(object, limit, "{\n    \"code\": ");
    at = join(at, limit, code);
    at = join(at, limit, ",\n    \"msg\": \"");
    at = join(at, limit, text);
    at = join(at, limit, cause);
    at = join(at, limit, "\"\n}");
    put(1, object, (size_t)(at - object));
    return 1;
}

/* Room for twice as much; 0 or an error.  What was there before is left to the end of the process. */
static long grow(struct buffer *buffer)
{
    long room = map(buffer->size * 4);
    if (is_error(room))
        return room;
    memcpy((char *)room, buffer->data, buffer->used);
    buffer->data = (char *)room;
    buffer->size *= 4;
    return 0;
}

static long read_to_end(struct buffer *to)
{
    for (;;) {
        long got = to->used == to->size ? grow(to) : 0;
        if (got < 0)
            return got;
        got = sys3(SYS_read, 0, to->data + to->used, to->size - to->used);
        if (!got)
            return 0;
        if (got > 0)
            to->used += (size_t)got;
        else if (!interrupted(got, 0, POLLIN))
            return got;
    }
}

/* --- the engine -------------------------------------------------------------------------------------------------------- */

/* 1: as much as asked for; 0: the engine is gone and had taken the whole request; or an error. */
static long receive(int fd, struct buffer *into, size_t length)
{
    while (into->used < length) {
        long got = sys(SYS_recvfrom, fd, L(into->data + into->used), L(into->size - into->used), 0, 0, 0);
        if (!got || (got < 0 && got != -EINTR))
            return got;
        if (got > 0)
            into->used += (size_t)got;
    }
    return 1;
}

static int send_call(int engine, struct iovec *parts, size_t count, const int *fds, size_t descriptors)
{
    union { struct cmsghdr align; char space[CMSG_SPACE(3 * sizeof(int))]; } control;
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count, .msg_control = control.space,
                             .msg_controllen = CMSG_SPACE(descriptors * sizeof(int))};
    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_RIGHTS;
    control.align.cmsg_len = CMSG_LEN(descriptors * sizeof(int));
    memcpy(CMSG_DATA(&control.align), fds, descriptors * sizeof(int));
    while (message.msg_iovlen) {
        long done = sys3(SYS_sendmsg, engine, &message, MSG_NOSIGNAL);
        if (done < 0 && done != -EINTR)
            return -1;
        if (done > 0)
            message.msg_control = NULL, message.msg_controllen = 0; /* the descriptors went with the first bytes */
        for (; done > 0 && message.msg_iovlen; message.msg_iov++, message.msg_iovlen--) {
            struct iovec *part = message.msg_iov;
            size_t sent = (size_t)done < part->iov_len ? (size_t)done : part->iov_len;
            part->iov_base = (char *)part->iov_base + sent, part->iov_len -= sent, done -= (long)sent;
            if (part->iov_len)
                break;
        }
        while (message.msg_iovlen && !message.msg_iov->iov_len)
            message.msg_iov++, message.msg_iovlen--;
    }
    return 0;
}

static long engine_at(const struct sockaddr_un *address)
{
    long engine = sys3(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), done = -EINTR;
    if (engine >= 0 && engine < 3) { /* a standard stream was closed */
        sys1(SYS_close, engine);
        keep_standard_streams();
        engine = sys3(SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    while (engine >= 0 && done == -EINTR)
        done = sys3(SYS_connect, engine, address, sizeof *address);
    return done < 0 ? done : engine;
}

/* What goes along with a call: our root directory, our network namespace and, when it can be opened, the container's.
 * The number of descriptors; 0 when there is no way to call an engine. */
static size_t prepare(int engine, int *fds, const char *netns)
{
    fds[0] = open_file("/", O_PATH | O_CLOEXEC);
    fds[1] = (int)sys3(SYS_ioctl, engine, SIOCGSKNS, 0); /* a tenth of what a path through /proc takes */
    if (fds[1] < 0)
        fds[1] = open_file("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fds[0] < 0 || fds[1] < 0)
        return 0;
    fds[2] = netns && *netns ? open_file(netns, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1;
    return fds[2] < 0 ? 2 : 3;
}

/* Sends a call and leaves header and body of the answer in `answer`. */
static enum outcome ask(const struct process *self, const char *name, const struct buffer *input, struct buffer *answer)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct header head = {{'P', 'Y', 'N', 'T'}, VERSION, CALL, 0, 0, {0}};
    size_t sizes[] = {size_of(name), self->variables_size, input->used};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)name, sizes[0]}, {(void *)self->variables, sizes[1]},
                            {input->data, sizes[2]}};
    size_t length = sizeof head.parts + sizes[0] + sizes[1] + sizes[2];
    int fds[3];
    if (length > REQUEST_LIMIT || !setting("socket", address.sun_path, sizeof address.sun_path))
        return NOT_RUN;
    int engine = (int)engine_at(&address); /* it wakes up while we prepare what it gets */
    size_t count = engine < 0 ? 0 : prepare(engine, fds, variable(self, "CNI_NETNS"));
    head.fds = (uint16_t)(big_endian((uint32_t)count) >> (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 16 : 0));
    head.length = big_endian((uint32_t)length);
    for (int part = 0; part < 3; part++)
        head.parts[part] = big_endian((uint32_t)sizes[part]);
    if (!count || send_call(engine, parts, 4, fds, count) < 0)
        return NOT_RUN; /* an incomplete request is never executed */

    const struct header *got = (const struct header *)answer->data;
    long done = receive(engine, answer, HEADER);
    if (done == -ECONNRESET)
        return NOT_RUN; /* the kernel says so only when part of the request was still unread */
    if (done != 1 || got->magic[0] != 'P' || got->magic[1] != 'Y' || got->magic[2] != 'N' || got->magic[3] != 'T')
        return LOST;
    length = big_endian(got->length);
    if (length > ANSWER_LIMIT)
        return LOST;
    if (got->kind != ANSWER || got->version != VERSION)
        return NOT_RUN;
    while (answer->size < HEADER + length)
        if (grow(answer))
            return LOST;
    if (length < sizeof got->parts || receive(engine, answer, HEADER + length) != 1)
        return LOST;
    got = (const struct header *)answer->data;
    uint64_t printed = (uint64_t)big_endian(got->parts[1]) + big_endian(got->parts[2]);
    return printed == length - sizeof got->parts ? ANSWERED : LOST;
}

/* --- the three ways to answer ------------------------------------------------------------------------------------------ */

/* `more` are words for behind the name, ended by NULL; those that do not fit are a reason to give up. */
APART static int run_with(const struct process *self, const char *name, char **more, const struct buffer *input)
{
    char interpreter[PATH_SIZE], entry[PATH_SIZE], run_dir[PATH_SIZE];
    const char *arguments[64] = {interpreter, "-I", "-S", entry}, **next = arguments + 4;
    keep_standard_streams();
    if (!setting("interpreter", interpreter, sizeof interpreter) || !setting("entry", entry, sizeof entry))
        return fail("999", "no engine answers and no interpreter is configured; run pynet install", "");
    if (input) {
        int copy = (int)sys2(SYS_memfd_create, "stdin", 0);
        long done = copy < 0 || put(copy, input->data, input->used) ? -ENOMEM : sys3(SYS_lseek, copy, 0, 0);
        if (done < 0 || (copy && (done = sys3(SYS_dup3, copy, 0, 0)) < 0))
            return fail("5", "passing the configuration on", reason(done));
        if (copy)
            sys1(SYS_close, copy);
    }
    if (setting("run-dir", run_dir, sizeof run_dir))
        *next++ = "--run-dir", *next++ = run_dir;
    *next++ = name;
    while (more && *more && next < arguments + 63)
        *next++ = *more++;
    if (more && *more)
        return fail("999", "the command line has too many words", "");
    *next = NULL;
    long error = sys3(SYS_execve, interpreter, arguments, self->environment);
    return fail("999", "no engine answers, and the configured interpreter cannot be executed", reason(error));
}

static int run_in_process(const struct process *self, const char *name, const struct buffer *input)
{
    return run_with(self, name, NULL, input);
}

static const struct plugin *find(const char *name)
{
    for (size_t at = 0; at < sizeof plugins / sizeof *plugins; at++)
        if (same(plugins[at].name, name))
            return plugins + at;
    return NULL;
}

/* The about text and VERSION (contract 1.8, 1.9): stdin is not read. */
APART static int describe(const struct process *self, const char *name, int about)
{
    char line[1024], version[256], *at = line, *limit = line + sizeof line - 1;
    const struct plugin *known = find(name);
    if (!known)
        return run_in_process(self, name, NULL);
    keep_standard_streams();
    if (about) {
        at = join(at, limit, "CNI ");
        at = join(at, limit, name);
        at = join(at, limit, " plugin ");
        at = join(at, limit, setting("version", version, sizeof version) ? version : "version unknown");
        at = join(at, limit, "\nCNI protocol versions supported: ");
        at = join(at, limit, known->listed);
        at = join(at, limit, "\n");
    } else {
        at = join(at, limit, "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":[\"");
        at = join(at, limit, known->quoted);
        at = join(at, limit, "\"]}\n");
    }
    return put(about ? 2 : 1, line, (size_t)(at - line));
}

static int serve(const struct process *self, const char *name, int adding)
{
    char given[USUAL], taken[USUAL] __attribute__((aligned(8)));
    struct buffer input = {given, 0, sizeof given}, answer = {taken, 0, sizeof taken};
    if (!sys3(SYS_ioctl, 0, TCGETS, taken)) /* a terminal */
        return run_in_process(self, name, NULL); /* a bad environment is reported before anything has to be typed */
    long error = read_to_end(&input);
    if (error == -ENOMEM)
        return fail("5", "error reading from stdin", reason(error));
    if (error < 0)
        return run_in_process(self, name, NULL); /* which fails to read it too, and reports that in its place */
    enum outcome outcome = ask(self, name, &input, &answer);
    if (outcome == LOST && adding) /* half of it may be done; the runtime's DEL undoes that */
        return fail("11", "the engine stopped in the middle of ADD; delete the attachment, then add it again", "");
    if (outcome != ANSWERED) /* every other command may be repeated */
        return run_in_process(self, name, &input);
    const struct header *head = (const struct header *)answer.data;
    size_t printed = big_endian(head->parts[1]), warned = big_endian(head->parts[2]);
    const char *text = answer.data + sizeof *head;
    if (put(2, text + printed, warned) | put(1, text, printed))
        return 1;
    return (int)(big_endian(head->parts[0]) & 0xff);
}

static int called(const struct process *self, const char *name)
{
    char **more = *self->arguments ? self->arguments + 1 : self->arguments;
    if (*more && same(*more, "daemon") && same(name, "dhcp"))
        return run_with(self, name, more, NULL); /* contract 2.4: the only command line a plugin has */
    const char *command = variable(self, "CNI_COMMAND");
    if (!command || !*command || same(command, "VERSION"))
        return describe(self, name, !command || !*command);
    return serve(self, name, same(command, "ADD"));
}

/* Called by a name that no plugin of ours has. */
APART static int called_oddly(const struct process *self, const char *name)
{
    char path[PATH_SIZE];
    long length = sys4(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    const char *file = base(path);
    return called(self, *file && (!*name || find(file)) ? file : name);
}

static int run(char **arguments, char **environment)
{
    struct process self = {arguments, environment, *environment, 0};
    for (char **each = environment; *each; each++) {
        if (*each != self.variables + self.variables_size) /* the kernel lays them out one after another */
            return fail("999", "the environment is not as the kernel makes it", "");
        self.variables_size += size_of(*each) + 1;
    }
    const char *name = base(*arguments ? *arguments : "");
    return find(name) ? called(&self, name) : called_oddly(&self, name);
}

#ifdef BARE
__attribute__((used, noreturn)) void begin(long *stack)
{
    char **arguments = (char **)(stack + 1);
    sys1(SYS_exit_group, run(arguments, arguments + *stack + 1));
    __builtin_unreachable();
}
#ifdef __x86_64__
__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#else
__asm__(".globl _start\n_start: mov x29, #0\n mov x30, #0\n mov x0, sp\n b begin\n");
#endif
#else
extern char **environ;
int main(int count, char **arguments)
{
    return (void)count, run(arguments, environ);
}
#endif

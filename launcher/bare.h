/* What the launcher needs of a C library, so that it can do without one (BARE): system calls and a few strings.  Included
 * once, after the headers. */
/* --- system calls: the result, or a negative error number ------------------------------------------------------------ */

#if defined BARE && defined __x86_64__
static long sys(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return number;
}
#elif defined BARE && defined __aarch64__
static long sys(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
#elif defined BARE
#error "no system calls without a C library for this machine"
#else
#include <unistd.h>
static long sys(long number, long a, long b, long c, long d, long e, long f)
{
    long result = syscall(number, a, b, c, d, e, f);
    return result == -1 ? -errno : result;
}
#endif

#define L(value) ((long)(value))
#define sys1(number, a) sys(number, L(a), 0, 0, 0, 0, 0)
#define sys2(number, a, b) sys(number, L(a), L(b), 0, 0, 0, 0)
#define sys3(number, a, b, c) sys(number, L(a), L(b), L(c), 0, 0, 0)
#define sys4(number, a, b, c, d) sys(number, L(a), L(b), L(c), L(d), 0, 0)
#define map(size) sys(SYS_mmap, 0, L(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
#define is_error(result) ((unsigned long)(result) > -4096UL)

static int open_file(const char *path, int flags)
{
    return (int)sys3(SYS_openat, AT_FDCWD, path, flags);
}

/* --- strings ---------------------------------------------------------------------------------------------------------- */

#ifdef BARE /* the compiler calls these by name */
__attribute__((used)) void *memcpy(void *to, const void *from, size_t length)
{
    for (size_t at = 0; at < length; at++)
        ((char *)to)[at] = ((const char *)from)[at];
    return to;
}

__attribute__((used)) void *memset(void *to, int byte, size_t length)
{
    for (size_t at = 0; at < length; at++)
        ((char *)to)[at] = (char)byte;
    return to;
}
#else
#include <string.h>
#endif

static size_t size_of(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

static int same(const char *one, const char *other)
{
    while (*one && *one == *other)
        one++, other++;
    return *one == *other;
}

/* What follows `key=` in `text`, NULL when it does not begin so. */
static const char *value_of(const char *text, const char *key)
{
    while (*key && *text == *key)
        text++, key++;
    return !*key && *text == '=' ? text + 1 : NULL;
}

/* Appends as much of `text` as there is room for; the new end.  `limit` is where the final zero has to be at last. */
static char *join(char *at, const char *limit, const char *text)
{
    while (*text && at < limit)
        *at++ = *text++;
    *at = 0;
    return at;
}

/* The last component of a path. */
static const char *base(const char *path)
{
    const char *name = path;
    for (; *path; path++)
        if (*path == '/')
            name = path + 1;
    return name;
}

static uint32_t big_endian(uint32_t number)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_bswap32(number);
#else
    return number;
#endif
}

/*
 * What xm.c needs of libc, so that it can do without: half of the time that a static program
 * takes to start is libc's own start.  Linux on x86_64.
 *
 * Functions have libc's names, so that xm.c is the same with libc; they do only what xm.c asks of
 * them (signal masks of 64 signals, memory that is never given back).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Or the compiler would see memcpy in memcpy, and call it. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

char **environ;

static int last_error;

int *__errno_location(void)
{
    return &last_error;
}

/* ---- the machine ---- */

#ifndef __x86_64__
#error "bare.c does not know this machine: compile xm.c alone, with libc"
#endif

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

__asm__(".text\n.global _start\n_start:\n"
        "xor %ebp,%ebp\nmov %rsp,%rdi\nand $-16,%rsp\ncall start\n");

/* Where a signal's handler returns to: rt_sigreturn. */
void restore(void);
__asm__(".text\n.global restore\nrestore:\nmov $15,%eax\nsyscall\n");
#define SA_RESTORER 0x04000000u

#define CALL(name, a, b, c, d, e, f) \
    checked(call(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f)))

static long checked(long result)
{
    if (result < 0 && result > -4096) {
        last_error = (int)-result;
        return -1;
    }
    return result;
}

int main(int argc, char **argv);

__attribute__((used)) void start(long *stack)
{
    char **argv = (char **)(stack + 1);

    environ = argv + stack[0] + 1;
    _exit(main((int)stack[0], argv));
}

/* ---- text and memory ---- */

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    char *t = to;

    for (const char *f = from; size > 0; size--)
        *t++ = *f++;
    return to;
}

void *memset(void *to, int value, size_t size)
{
    for (char *t = to; size > 0; size--)
        *t++ = (char)value;
    return to;
}

size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length] != 0)
        length++;
    return length;
}

char *stpcpy(char *restrict to, const char *restrict from)
{
    while ((*to = *from++) != 0)
        to++;
    return to;
}

char *getenv(const char *name)
{
    size_t length = strlen(name);

    for (char **entry = environ; *entry != NULL; entry++) {
        size_t i = 0;

        while (i < length && (*entry)[i] == name[i])
            i++;
        if (i == length && (*entry)[i] == '=')
            return *entry + length + 1;
    }
    return NULL;
}

/* Larger than the arguments and the environment can be; only what is used is ever there. */
static char arena[8 << 20];
static size_t arena_used;

void *malloc(size_t size)
{
    char *found = arena + arena_used;

    if (size > sizeof arena - arena_used)
        return NULL;
    arena_used += (size + 15) & ~(size_t)15;
    return found;
}

void *calloc(size_t count, size_t size)
{
    return malloc(count * size);  /* fresh memory is zero */
}

void free(void *memory)
{
    (void)memory;
}

/* ---- files and sockets ---- */

int open(const char *path, int flags, ...)
{
    return (int)CALL(openat, AT_FDCWD, path, flags, 0, 0, 0);
}

int close(int fd)
{
    return (int)CALL(close, fd, 0, 0, 0, 0, 0);
}

int fcntl(int fd, int command, ...)
{
    va_list arguments;
    long argument;

    va_start(arguments, command);
    argument = va_arg(arguments, int);
    va_end(arguments);
    return (int)CALL(fcntl, fd, command, argument, 0, 0, 0);
}

ssize_t write(int fd, const void *data, size_t size)
{
    return CALL(write, fd, data, size, 0, 0, 0);
}

mode_t umask(mode_t mask)
{
    return (mode_t)CALL(umask, mask, 0, 0, 0, 0, 0);
}

int socket(int domain, int type, int protocol)
{
    return (int)CALL(socket, domain, type, protocol, 0, 0, 0);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    return (int)CALL(connect, fd, address, size, 0, 0, 0);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *size)
{
    return (int)CALL(getsockopt, fd, level, option, value, size, 0);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
    return (int)CALL(setsockopt, fd, level, option, value, size, 0);
}

int shutdown(int fd, int how)
{
    return (int)CALL(shutdown, fd, how, 0, 0, 0, 0);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return CALL(sendmsg, fd, message, flags, 0, 0, 0);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    return CALL(sendto, fd, data, size, flags, 0, 0);
}

ssize_t recv(int fd, void *data, size_t size, int flags)
{
    return CALL(recvfrom, fd, data, size, flags, 0, 0);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    struct timespec left;  /* the kernel writes what remains */

    if (timeout != NULL)
        left = *timeout;
    return (int)CALL(ppoll, fds, count, timeout != NULL ? &left : NULL, mask, 8, 0);
}

int poll(struct pollfd *fds, nfds_t count, int milliseconds)
{
    struct timespec timeout = {milliseconds / 1000, milliseconds % 1000 * 1000000L};

    return ppoll(fds, count, &timeout, NULL);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    return (int)CALL(clock_gettime, clock, time, 0, 0, 0, 0);
}

/* ---- processes and signals ---- */

void _exit(int status)
{
    for (;;)
        call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

uid_t geteuid(void)
{
    return (uid_t)CALL(geteuid, 0, 0, 0, 0, 0, 0);
}

int execv(const char *path, char *const *argv)
{
    return (int)CALL(execve, path, argv, environ, 0, 0, 0);
}

pid_t fork(void)
{
    return (pid_t)CALL(clone, SIGCHLD, 0, 0, 0, 0, 0);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    return (pid_t)CALL(wait4, pid, status, options, 0, 0, 0);
}

int kill(pid_t pid, int signo)
{
    return (int)CALL(kill, pid, signo, 0, 0, 0, 0);
}

int raise(int signo)
{
    return kill((pid_t)CALL(getpid, 0, 0, 0, 0, 0, 0), signo);
}

/* As the kernel has it. */
struct action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

int sigaction(int signo, const struct sigaction *new, struct sigaction *old)
{
    struct action put = {0}, got;
    long result;

    if (new != NULL) {
        put.handler = new->sa_handler;
        put.flags = (unsigned)new->sa_flags | SA_RESTORER;
        put.restorer = restore;
        memcpy(&put.mask, &new->sa_mask, sizeof put.mask);
    }
    result = CALL(rt_sigaction, signo, new != NULL ? &put : NULL, old != NULL ? &got : NULL, 8, 0, 0);
    if (result == 0 && old != NULL)
        old->sa_handler = got.handler;
    return (int)result;
}

sighandler_t signal(int signo, sighandler_t handler)
{
    struct sigaction new = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;

    return sigaction(signo, &new, &old) == 0 ? old.sa_handler : SIG_ERR;
}

int sigemptyset(sigset_t *set)
{
    memset(set, 0, sizeof *set);
    return 0;
}

int sigaddset(sigset_t *set, int signo)
{
    *(uint64_t *)set |= (uint64_t)1 << (signo - 1);
    return 0;
}

int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
    return (int)CALL(rt_sigprocmask, how, set, old, 8, 0, 0);
}

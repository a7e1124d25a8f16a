/*
 * The launcher of xm: hands the command line to a warm process beside the daemon.
 *
 * Starting Python takes ten times as long as any listing does.  So this program sends its
 * arguments, environment, umask, working folder and standard descriptors over a Unix socket to
 * xend/cli/warm.py, relays signals, and ends as the command ended.  It knows no command.  When
 * nothing answers it becomes the plain command line, which behaves the same.
 *
 *     cc -O2 -static -o xm xm.c [-DXM_PYTHON='"/usr/bin/python3"']
 *
 * or, on x86_64, without libc, which halves the time to start:
 *
 *     cc -O2 -static -nostdlib -ffreestanding -fno-stack-protector -o xm xm.c bare.c
 *
 * The protocol.  To the server: a head (REQUEST_MAGIC, then the length of the rest), the rest
 * being texts that end in NUL: umask in octal, number of arguments, the time (CLOCK_MONOTONIC in
 * milliseconds, modulo 2^32), arguments, environment; the descriptors 0, 1, 2 and the working folder
 * travel with the first byte.  From the server: frames
 * of a letter and a 32 bit number, big endian:
 *     H pid     it is at work: from here on the command is its, there is no going back (a command
 *               that only reads may end without an H; doing it again would do no harm)
 *     X status  the command has ended with this exit status
 *     S signal  the command would have died of this signal
 *     P 0       the command needs the caller's own process: run it plainly
 *     E length  become the program whose argv follows, each argument ending in NUL
 *     R length  run that program beside the command; its end is told by a frame W status
 *     K signal  send that program this signal
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef XM_PYTHON
#define XM_PYTHON "/usr/bin/python3"
#endif
#ifndef XM_START
#define XM_START "from xend.cli.main import main_of_launcher; main_of_launcher()"
#endif
#ifndef XM_RUN_DIR
#define XM_RUN_DIR "/var/run/xend"
#endif

#define REQUEST_MAGIC "xmwarm2"      /* with its NUL: 8 bytes */
#define HEAD_SIZE (sizeof REQUEST_MAGIC + 4)
#define PATIENCE_MS 2000             /* until the server must have said that it is at work */
#define MAX_ARGV (1 << 20)           /* bytes of a program's argv from the server */
#define EXIT_LOST 1

extern char **environ;

static int server = -1;
static volatile sig_atomic_t worker;       /* process that runs the command; 0 before H */
static volatile sig_atomic_t program;      /* process started for R */
static volatile sig_atomic_t last_signal;  /* that has been relayed, or will be with H */

static const int relayed[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};

/* ---- becoming something else ---- */

static _Noreturn void die_of(int signo)
{
    sigset_t set;

    signal(signo, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, signo);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(signo);
    _exit(128 + signo);
}

static void reset_signals(void)
{
    for (size_t i = 0; i < sizeof relayed / sizeof *relayed; i++)
        signal(relayed[i], SIG_DFL);
    signal(SIGTSTP, SIG_DFL);
    signal(SIGCONT, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
}

static void complain(const char *text, const char *name)
{
    const char *parts[] = {text, name, "\n"};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (write(2, parts[i], strlen(parts[i])) < 0)
            return;
}

static _Noreturn void run_plainly(int argc, char **argv)
{
    char **plain = calloc((size_t)argc + 5, sizeof *plain);

    if (last_signal)
        die_of((int)last_signal);
    if (plain == NULL)
        _exit(EXIT_LOST);
    plain[0] = (char *)XM_PYTHON;
    plain[1] = (char *)"-I";
    plain[2] = (char *)"-c";
    plain[3] = (char *)XM_START;
    memcpy(plain + 4, argv, (size_t)argc * sizeof *plain);
    reset_signals();
    execv(XM_PYTHON, plain);
    complain("xm: cannot run ", XM_PYTHON);
    _exit(127);
}

/* ---- signals ---- */

/* Before H nobody can tell whether the command has begun, so the signal waits for it. */
static void relay(int signo)
{
    int saved = errno;

    if (signo != SIGWINCH)
        last_signal = signo;
    if (worker > 0)
        kill((pid_t)worker, signo);
    errno = saved;
}

/* Stop with the command, and let it go on with us: it is not in the terminal's session. */
static void stop(int signo)
{
    int saved = errno;
    sigset_t set;

    if (worker > 0)
        kill((pid_t)worker, SIGSTOP);
    signal(signo, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, signo);
    raise(signo);
    sigprocmask(SIG_UNBLOCK, &set, NULL);  /* here we stop */
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(signo, stop);
    if (worker > 0)
        kill((pid_t)worker, SIGCONT);
    errno = saved;
}

static void program_ended(int signo)
{
    (void)signo;  /* only interrupts poll() */
}

static void install(int signo, void (*handler)(int))
{
    struct sigaction action, old;

    /* What the caller ignores (nohup) stays ignored. */
    if (sigaction(signo, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
        return;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    action.sa_flags = signo == SIGCHLD ? SA_NOCLDSTOP : SA_RESTART;
    sigaction(signo, &action, NULL);
}

/* ---- the request ---- */

/* A socket that is not in the place of a standard descriptor which the caller has closed. */
static int open_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && fd < 3) {
        int low = fd;

        fd = fcntl(low, F_DUPFD_CLOEXEC, 3);
        close(low);
        while ((low = open("/dev/null", O_RDWR)) >= 0 && low < 3)
            ;
        close(low);
    }
    return fd;
}

static int connect_to_server(void)
{
    const char *run_dir = getenv("XEND_RUN_DIR");
    struct timeval patience = {PATIENCE_MS / 1000, 0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (run_dir == NULL || *run_dir == 0)
        run_dir = XM_RUN_DIR;
    if (strlen(run_dir) + sizeof "/warm.sock" > sizeof address.sun_path)
        return -1;
    stpcpy(stpcpy(address.sun_path, run_dir), "/warm.sock");
    server = open_socket();
    if (server < 0)
        return -1;
    setsockopt(server, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(server, (struct sockaddr *)&address, sizeof address) != 0
        || getsockopt(server, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0
        || (peer.uid != 0 && peer.uid != geteuid())) {
        close(server);
        return -1;
    }
    return 0;
}

static void put_number(unsigned char *at, uint32_t number)
{
    at[0] = (unsigned char)(number >> 24);
    at[1] = (unsigned char)(number >> 16);
    at[2] = (unsigned char)(number >> 8);
    at[3] = (unsigned char)number;
}

static uint32_t get_number(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static char *put_digits(char *at, unsigned number, unsigned base)
{
    char digits[3 * sizeof number + 1];
    size_t count = 0;

    do
        digits[count++] = (char)('0' + number % base);
    while ((number /= base) != 0);
    while (count > 0)
        *at++ = digits[--count];
    *at++ = 0;
    return at;
}

/* The server must know for how long we have been waiting: it may have been too busy to look. */
static unsigned milliseconds(void)
{
    struct timespec now = {0, 0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned)now.tv_sec * 1000 + (unsigned)(now.tv_nsec / 1000000);
}

static char *build_request(int argc, char **argv, size_t *size)
{
    char numbers[64];
    mode_t mask = umask(0);
    size_t length;
    char *request, *at;

    umask(mask);
    at = put_digits(numbers, (unsigned)mask, 8);
    at = put_digits(at, (unsigned)argc, 10);
    length = (size_t)(put_digits(at, milliseconds(), 10) - numbers);
    *size = HEAD_SIZE + length;
    for (int i = 0; i < argc; i++)
        *size += strlen(argv[i]) + 1;
    for (char **entry = environ; *entry != NULL; entry++)
        *size += strlen(*entry) + 1;
    request = at = malloc(*size);
    if (request == NULL)
        return NULL;
    memcpy(at, REQUEST_MAGIC, sizeof REQUEST_MAGIC);
    at += sizeof REQUEST_MAGIC;
    put_number((unsigned char *)at, (uint32_t)(*size - HEAD_SIZE));
    memcpy(at += 4, numbers, length);
    at += length;
    for (int i = 0; i < argc; i++)
        at = stpcpy(at, argv[i]) + 1;
    for (char **entry = environ; *entry != NULL; entry++)
        at = stpcpy(at, *entry) + 1;
    return request;
}

static ssize_t send_first(const char *data, size_t size, const int *fds)
{
    union {
        char space[CMSG_SPACE(4 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec piece = {(void *)data, size};
    struct msghdr message = {
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = control.space,
        .msg_controllen = sizeof control.space,
    };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);

    memset(&control, 0, sizeof control);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(4 * sizeof(int));
    memcpy(CMSG_DATA(head), fds, 4 * sizeof(int));
    return sendmsg(server, &message, MSG_NOSIGNAL);
}

static int send_request(int argc, char **argv)
{
    int fds[4] = {0, 1, 2, open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    size_t size, done;
    ssize_t sent;
    char *request = build_request(argc, argv, &size);

    if (request == NULL || fds[3] < 0)
        return -1;
    sent = send_first(request, size, fds);
    close(fds[3]);
    if (sent <= 0)
        return -1;
    for (done = (size_t)sent; done < size; done += (size_t)sent) {
        sent = send(server, request + done, size - done, MSG_NOSIGNAL);
        if (sent <= 0)
            return -1;
    }
    free(request);
    return 0;
}

/* ---- the answer ---- */

static ssize_t receive(void *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t got = recv(server, (char *)data + done, size - done, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* Whether the server has taken the command.  If not, nothing that it does later counts: with the
 * connection shut, its H fails and it forgets the command. */
static int server_is_at_work(unsigned char *frame)
{
    struct pollfd wait = {.fd = server, .events = POLLIN};
    int ready;

    do
        ready = poll(&wait, 1, PATIENCE_MS);
    while (ready < 0 && errno == EINTR && !last_signal);
    if (ready <= 0)
        shutdown(server, SHUT_RDWR);
    return receive(frame, 5) == 5;
}

static char **receive_argv(uint32_t size)
{
    char *text;
    char **argv;
    size_t count = 0;

    if (size == 0 || size > MAX_ARGV || (text = malloc(size)) == NULL
        || receive(text, size) < 0 || text[size - 1] != 0)
        return NULL;
    for (uint32_t i = 0; i < size; i++)
        count += text[i] == 0;
    argv = calloc(count + 1, sizeof *argv);
    for (size_t i = 0; argv != NULL && i < count; i++) {
        argv[i] = text;
        text += strlen(text) + 1;
    }
    return argv;
}

static _Noreturn void become(char **argv)
{
    if (argv == NULL)
        _exit(EXIT_LOST);
    reset_signals();
    execv(argv[0], argv);
    complain("Error: cannot run ", argv[0]);
    _exit(EXIT_LOST);
}

static void run(char **argv)
{
    pid_t child = fork();

    if (child == 0)
        become(argv);
    program = child;
}

static void tell_of_program(void)
{
    unsigned char frame[5] = {'W'};
    int status;

    if (program > 0 && waitpid((pid_t)program, &status, WNOHANG) == (pid_t)program) {
        program = 0;
        put_number(frame + 1, (uint32_t)status);
        send(server, frame, sizeof frame, MSG_NOSIGNAL);
    }
}

/* The server ended without a word: by a signal that we relayed, or it was killed. */
static _Noreturn void server_is_lost(void)
{
    if (program > 0) {
        kill((pid_t)program, SIGTERM);
        waitpid((pid_t)program, NULL, 0);
    }
    if (last_signal)
        die_of((int)last_signal);
    complain("Error: the process that ran this command has died.", "");
    _exit(EXIT_LOST);
}

/* Wait for a frame; while a program runs for R, for its end too. */
static void next_frame(unsigned char *frame)
{
    struct pollfd wait = {.fd = server, .events = POLLIN};
    sigset_t set, old;

    if (program > 0) {
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        sigprocmask(SIG_BLOCK, &set, &old);
        tell_of_program();
        while (ppoll(&wait, 1, NULL, &old) < 0 && errno == EINTR)
            tell_of_program();
        sigprocmask(SIG_SETMASK, &old, NULL);
    }
    if (receive(frame, 5) < 0)
        server_is_lost();
}

static _Noreturn void follow(int argc, char **argv, unsigned char *frame)
{
    for (;; next_frame(frame)) {
        uint32_t number = get_number(frame + 1);

        switch (frame[0]) {
        case 'H':
            worker = (sig_atomic_t)number;
            if (last_signal)
                kill((pid_t)worker, (int)last_signal);
            break;
        case 'X':
            _exit((int)(number & 0xff));
        case 'S':
            die_of((int)number);
        case 'P':
            run_plainly(argc, argv);
        case 'E':
            become(receive_argv(number));
        case 'R':
            install(SIGCHLD, program_ended);
            run(receive_argv(number));
            break;
        case 'K':
            if (program > 0)
                kill((pid_t)program, (int)number);
            break;
        default:
            server_is_lost();
        }
    }
}

int main(int argc, char **argv)
{
    unsigned char frame[5];

    if (connect_to_server() != 0)
        run_plainly(argc, argv);
    for (size_t i = 0; i < sizeof relayed / sizeof *relayed; i++)
        install(relayed[i], relay);
    install(SIGTSTP, stop);
    if (send_request(argc, argv) != 0 || !server_is_at_work(frame))
        run_plainly(argc, argv);
    follow(argc, argv, frame);
}

/*
 * labrun: run a command that does not outlive the one who asked for it.
 *
 * sshd tells a command without a terminal nothing when its client goes away:
 * it only closes the other end of the command's output.  So this program stays
 * beside the command, watches the output for that, and then ends the command's
 * whole process group.  Its exit status is the command's, 128+N for signal N.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_MS 5000

static volatile sig_atomic_t asked;

static void on_child(int sig) { (void)sig; }
static void on_signal(int sig) { asked = sig; }

static void handle(int sig, void (*action)(int))
{
    struct sigaction how;

    memset(&how, 0, sizeof how);
    how.sa_handler = action;
    sigaction(sig, &how, NULL);
}

int main(int argc, char **argv)
{
    sigset_t blocked, before;
    struct pollfd out[2];
    struct timespec grace = { GRACE_MS / 1000, 0 };
    int status, ending = 0;
    pid_t child;

    if (argc < 2) {
        fprintf(stderr, "usage: labrun COMMAND [ARGUMENT...]\n");
        return 2;
    }
    /* Blocked outside ppoll, so that no signal slips in before it. */
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGHUP);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    handle(SIGCHLD, on_child);
    handle(SIGTERM, on_signal);
    handle(SIGINT, on_signal);
    handle(SIGHUP, on_signal);

    child = fork();
    if (child < 0) {
        perror("labrun: fork");
        return 126;
    }
    if (child == 0) {
        setpgid(0, 0);
        handle(SIGCHLD, SIG_DFL);
        handle(SIGTERM, SIG_DFL);
        handle(SIGINT, SIG_DFL);
        handle(SIGHUP, SIG_DFL);
        sigprocmask(SIG_SETMASK, &before, NULL);
        execvp(argv[1], argv + 1);
        status = errno;
        fprintf(stderr, "%s: %s\n", argv[1], strerror(status));
        _exit(status == ENOENT ? 127 : 126);
    }
    setpgid(child, child);

    /* No events asked for: errors and hang-ups are reported all the same. */
    memset(out, 0, sizeof out);
    out[0].fd = STDOUT_FILENO;
    out[1].fd = STDERR_FILENO;
    for (;;) {
        int hung_up = 0, ready;
        pid_t gone = waitpid(child, &status, WNOHANG);

        if (gone == child)
            break;
        ready = ppoll(out, ending ? 0 : 2, ending ? &grace : NULL, &before);
        if (ready > 0)
            hung_up = ((out[0].revents | out[1].revents) & (POLLERR | POLLHUP)) != 0;
        if (ending && ready == 0) {
            kill(-child, SIGKILL);
        } else if (!ending && (hung_up || asked)) {
            kill(-child, asked ? asked : SIGTERM);
            kill(-child, SIGCONT);
            ending = 1;
        }
    }
    if (WIFSIGNALED(status))
        return 128 + WTERMSIG(status);
    return WEXITSTATUS(status);
}

/* The C side of the binding: a logger, the event loop's turn, and packed domain lists.
 *
 * One source for libxl 4.14 to 4.20.  0x041400 is the newest API version that all of them accept;
 * structures differ between releases, so only fields that all of them have are touched here.
 */
#define LIBXL_API_VERSION 0x041400

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <libxl.h>
#include <libxl_event.h>
#include <libxl_utils.h>
#include <xenstore.h>
#include <xentoollog.h>

/* Declared ahead of cffi's own definition of the extern "Python" function. */
static void xend_py_progress(void *listener, uint32_t domid, const char *what, int percent,
                             uint64_t done, uint64_t total);

/*----- logger --------------------------------------------------------------------------------*/

#define XEND_RING 64      /* records of one operation that are kept: the last ones */
#define XEND_TEXT 1000    /* bytes of one record that are kept */

/* libxl calls a logger from any thread and under its locks: nothing here blocks on anything but
 * the logger's own mutex, and, in worker processes, one write(2) to the stderr pipe. */
typedef struct xend_logger {
    xentoollog_logger vtable;   /* first: libxl knows only this part */
    pthread_mutex_t lock;
    int min_level;
    int echo_fd;                /* -1: none */
    void *listener;             /* a Python handle, or NULL */
    uint32_t domid;             /* the first guest named since `listener` was set; 0: none yet */
    int disaster;
    unsigned first, count;
    char *ring[XEND_RING];      /* level character, then text */
} xend_logger;

static void logger_push(xend_logger *lg, char *record)
{
    unsigned slot;

    if (lg->count == XEND_RING) {
        free(lg->ring[lg->first]);
        lg->first = (lg->first + 1) % XEND_RING;
        lg->count--;
    }
    slot = (lg->first + lg->count) % XEND_RING;
    lg->ring[slot] = record;
    lg->count++;
}

static void logger_echo(xend_logger *lg, const char *level, const char *text)
{
    char line[XEND_TEXT + 64];
    int length = snprintf(line, sizeof(line), "libxl: %s: %s\n", level, text);

    if (length >= (int)sizeof(line))
        length = sizeof(line) - 1;
    if (length > 0 && write(lg->echo_fd, line, length) < 0)
        return; /* nobody reads any more: the ring still has it */
}

/* libxl names the guest in its records ("Domain 5:"): the only sign of the new domid before the
 * boot loader has run, since create_new fills *domid when everything is done. */
static uint32_t named_domain(const char *text)
{
    const char *at = strstr(text, "Domain ");
    char *end;
    unsigned long domid;

    if (!at)
        return 0;
    domid = strtoul(at + 7, &end, 10);
    return *end == ':' && domid > 0 && domid < 0x7FF0 ? (uint32_t)domid : 0;
}

static void logger_vmessage(xentoollog_logger *base, xentoollog_level level, int errnoval,
                            const char *context, const char *format, va_list al)
{
    xend_logger *lg = (xend_logger *)base;
    char text[XEND_TEXT], *record;
    uint32_t domid = 0;
    int used, saved = errno;

    /* A build says a hundred things that nobody wants to read; one of them has the domid. */
    if ((int)level < lg->min_level && (!lg->listener || lg->domid))
        return;
    used = vsnprintf(text, sizeof(text), format, al);
    if (used >= 0 && errnoval >= 0 && used < (int)sizeof(text) - 4)
        snprintf(text + used, sizeof(text) - used, ": %s", strerror(errnoval));

    pthread_mutex_lock(&lg->lock);
    if (lg->listener && !lg->domid)
        domid = lg->domid = named_domain(text);
    if ((int)level >= lg->min_level) {
        record = malloc(strlen(text) + 2);
        if (record) {
            record[0] = '0' + (char)level;
            strcpy(record + 1, text);
            logger_push(lg, record);
        }
        if (lg->echo_fd >= 0)
            logger_echo(lg, xtl_level_to_string(level), text);
    }
    pthread_mutex_unlock(&lg->lock);

    if (domid)
        xend_py_progress(lg->listener, domid, "domain", -1, 0, 0);
    errno = saved;
    (void)context;
}

static void logger_progress(xentoollog_logger *base, const char *context, const char *doing_what,
                            int percent, unsigned long done, unsigned long total)
{
    xend_logger *lg = (xend_logger *)base;

    if (lg->listener)
        xend_py_progress(lg->listener, lg->domid, doing_what ? doing_what : "", percent, done,
                         total);
    (void)context;
}

static void logger_destroy(xentoollog_logger *base)
{
    (void)base;
}

static xend_logger *xend_logger_new(int min_level, int echo_fd)
{
    xend_logger *lg = calloc(1, sizeof(*lg));

    if (!lg)
        return NULL;
    lg->vtable.vmessage = logger_vmessage;
    lg->vtable.progress = logger_progress;
    lg->vtable.destroy = logger_destroy;
    lg->min_level = min_level;
    lg->echo_fd = echo_fd;
    pthread_mutex_init(&lg->lock, NULL);
    return lg;
}

static void xend_logger_free(xend_logger *lg)
{
    while (lg->count--) {
        free(lg->ring[lg->first]);
        lg->first = (lg->first + 1) % XEND_RING;
    }
    pthread_mutex_destroy(&lg->lock);
    free(lg);
}

/* Starts (or, with NULL, stops) the reports of one operation. */
static void xend_logger_listen(xend_logger *lg, void *listener)
{
    pthread_mutex_lock(&lg->lock);
    lg->listener = listener;
    lg->domid = 0;
    pthread_mutex_unlock(&lg->lock);
}

/* Copies the oldest record into `text` and forgets it: its level, or 0 when there is none. */
static int xend_logger_take(xend_logger *lg, char *text, int size)
{
    char *record = NULL;
    int level = 0;

    pthread_mutex_lock(&lg->lock);
    if (lg->count) {
        record = lg->ring[lg->first];
        lg->first = (lg->first + 1) % XEND_RING;
        lg->count--;
    }
    pthread_mutex_unlock(&lg->lock);
    if (record) {
        level = record[0] - '0';
        snprintf(text, size, "%s", record + 1);
        free(record);
    }
    return level;
}

static int xend_logger_disaster(xend_logger *lg)
{
    return lg->disaster;
}

/*----- contexts ------------------------------------------------------------------------------*/

/* libxl copies neither table: they must outlive every context. */
static const libxl_childproc_hooks childproc_hooks = {
    /* The only mode that allows several contexts and other people's children in one process. */
    .chldowner = libxl_sigchld_owner_libxl_always_selective_reap,
};

static void on_disaster(void *user, libxl_event_type type, const char *msg, int errnoval)
{
    ((xend_logger *)user)->disaster = errnoval ? errnoval : EIO;
    (void)type;
    (void)msg; /* libxl has logged it already, as XTL_CRITICAL */
}

static const libxl_event_hooks event_hooks = {
    .event_occurs_mask = 0,
    .event_occurs = NULL,
    .disaster = on_disaster, /* without one libxl calls exit(-1) */
};

static libxl_ctx *xend_ctx_new(xend_logger *logger, int *rc)
{
    libxl_ctx *ctx = NULL;

    *rc = libxl_ctx_alloc(&ctx, LIBXL_VERSION, 0, &logger->vtable);
    if (*rc)
        return NULL;
    libxl_childproc_setmode(ctx, &childproc_hooks, NULL);
    libxl_event_register_callbacks(ctx, &event_hooks, logger);
    return ctx;
}

static int xend_ctx_free(libxl_ctx *ctx)
{
    return libxl_ctx_free(ctx);
}

static void console_available(libxl_ctx *ctx, libxl_event *event, void *user)
{
    xend_logger *lg = user;

    if (lg->listener)
        xend_py_progress(lg->listener, event->domid, "console", -1, 0, 0);
    libxl_event_free(ctx, event);
}

static void xend_console_how(libxl_asyncprogress_how *how, xend_logger *logger)
{
    memset(how, 0, sizeof(*how));
    how->callback = console_available;
    how->for_callback = logger;
}

static const char *xend_error_name(int rc)
{
    return libxl_error_to_string(rc);
}

static const char *xend_scheduler_name(int scheduler)
{
    return libxl_scheduler_to_string(scheduler);
}

/* Capabilities that not every release reports: vmtrace, vpmu, gnttab-v1, gnttab-v2 by bit. */
static unsigned xend_newer_capabilities(const libxl_physinfo *info)
{
    unsigned found = 0;

#ifdef LIBXL_HAVE_PHYSINFO_CAP_VMTRACE
    found |= info->cap_vmtrace ? 1 : 0;
#endif
#ifdef LIBXL_HAVE_PHYSINFO_CAP_VPMU
    found |= info->cap_vpmu ? 2 : 0;
#endif
#ifdef LIBXL_HAVE_PHYSINFO_CAP_GNTTAB
    found |= info->cap_gnttab_v1 ? 4 : 0;
    found |= info->cap_gnttab_v2 ? 8 : 0;
#endif
    (void)info;
    return found;
}

static int xend_migration_delay(const libxl_sched_credit_params *params)
{
#ifdef LIBXL_HAVE_SCHED_CREDIT_MIGR_DELAY
    return params->vcpu_migr_delay_us;
#else
    (void)params;
    return 0;
#endif
}

static void xend_set_migration_delay(libxl_sched_credit_params *params, int delay_us)
{
#ifdef LIBXL_HAVE_SCHED_CREDIT_MIGR_DELAY
    params->vcpu_migr_delay_us = delay_us;
#else
    (void)params;
    (void)delay_us;
#endif
}

/*----- domains as fixed records: one call, one buffer, no field-by-field crossing ------------*/

typedef struct {
    uint32_t domid;
    uint32_t flags;
    int32_t shutdown_reason;
    int32_t type;
    uint32_t vcpus_online;
    uint32_t vcpu_max_id;
    uint32_t cpupool;
    uint32_t reserved;
    uint64_t current_kb;
    uint64_t max_kb;
    uint64_t outstanding_kb;
    uint64_t cpu_time;
    uint8_t uuid[16];
} xend_dominfo;

#define XEND_DOMINFO_SIZE ((int)sizeof(xend_dominfo))

static void pack(const libxl_dominfo *in, xend_dominfo *out)
{
    memset(out, 0, sizeof(*out));
    out->domid = in->domid;
    out->flags = (in->running ? 1u : 0) | (in->blocked ? 2u : 0) | (in->paused ? 4u : 0) |
                 (in->shutdown ? 8u : 0) | (in->dying ? 16u : 0) | (in->never_stop ? 32u : 0);
    out->shutdown_reason = in->shutdown ? (int32_t)in->shutdown_reason : -1;
    out->type = in->domain_type;
    out->vcpus_online = in->vcpu_online;
    out->vcpu_max_id = in->vcpu_max_id;
    out->cpupool = in->cpupool;
    out->current_kb = in->current_memkb;
    out->max_kb = in->max_memkb;
    out->outstanding_kb = in->outstanding_memkb;
    out->cpu_time = in->cpu_time;
    memcpy(out->uuid, in->uuid.uuid, sizeof(out->uuid));
}

/* To be freed with xend_free; NULL on failure. */
static xend_dominfo *xend_list(libxl_ctx *ctx, int *count)
{
    libxl_dominfo *list = libxl_list_domain(ctx, count);
    xend_dominfo *out;
    int i;

    if (!list)
        return NULL;
    out = malloc(sizeof(*out) * (*count ? *count : 1));
    for (i = 0; out && i < *count; i++)
        pack(&list[i], &out[i]);
    libxl_dominfo_list_free(list, *count);
    return out;
}

static int xend_info(libxl_ctx *ctx, uint32_t domid, xend_dominfo *out)
{
    libxl_dominfo info;
    int rc;

    libxl_dominfo_init(&info);
    rc = libxl_domain_info(ctx, &info, domid);
    if (!rc)
        pack(&info, out);
    libxl_dominfo_dispose(&info);
    return rc;
}

/* Guests that live and whose bit in `known` is clear, at most `room` of them: how many; -1 on failure. */
static int xend_new_domains(libxl_ctx *ctx, const uint8_t *known, int known_bytes,
                            xend_dominfo *out, int room)
{
    int count, i, found = 0;
    libxl_dominfo *list = libxl_list_domain(ctx, &count);

    if (!list)
        return -1;
    for (i = 0; i < count && found < room; i++) {
        uint32_t domid = list[i].domid;

        if (list[i].dying)
            continue;
        if ((int)(domid / 8) < known_bytes && known[domid / 8] & (1u << (domid % 8)))
            continue;
        pack(&list[i], &out[found++]);
    }
    libxl_dominfo_list_free(list, count);
    return found;
}

/*----- events --------------------------------------------------------------------------------*/

/* One turn of the event thread: libxl's descriptors, a watch on @introduceDomain (which libxl
 * has no event for), and a descriptor by which Python wakes the thread. */
typedef struct xend_poller {
    libxl_ctx *ctx;
    struct xs_handle *xs;
    int wake_fd;
    struct pollfd *fds;
    int room;
} xend_poller;

static void xend_poller_free(xend_poller *poller)
{
    if (poller->xs)
        xs_close(poller->xs);
    free(poller->fds);
    free(poller);
}

static xend_poller *xend_poller_new(libxl_ctx *ctx, int wake_fd)
{
    xend_poller *poller = calloc(1, sizeof(*poller));

    if (!poller)
        return NULL;
    poller->ctx = ctx;
    poller->wake_fd = wake_fd;
    poller->room = 32;
    poller->fds = calloc(poller->room, sizeof(*poller->fds));
    poller->xs = xs_open(0);
    if (!poller->fds || !poller->xs || !xs_watch(poller->xs, "@introduceDomain", "new")) {
        xend_poller_free(poller);
        return NULL;
    }
    return poller;
}

/* 1: a domain was introduced; 0: none; -1: the connection is gone. */
static int drain_introductions(struct xs_handle *xs)
{
    int seen = 0;
    char **event;

    for (;;) {
        event = xs_check_watch(xs);
        if (!event)
            return errno == EAGAIN ? seen : -1;
        seen = 1;
        free(event);
    }
}

/* Bits of the answer: 1 woken, 2 domains were introduced; negative: -errno. */
static int xend_poller_wait(xend_poller *poller)
{
    struct timeval now;
    int count, rc, timeout, answer = 0;

    for (;;) {
        count = poller->room - 2;
        timeout = -1;
        gettimeofday(&now, NULL);
        rc = libxl_osevent_beforepoll(poller->ctx, &count, poller->fds, &timeout, now);
        if (rc != ERROR_BUFFERFULL)
            break;
        free(poller->fds);
        poller->room = count + 16;
        poller->fds = calloc(poller->room, sizeof(*poller->fds));
        if (!poller->fds)
            return -ENOMEM;
    }
    if (rc)
        return -EIO;
    poller->fds[count].fd = poller->wake_fd;
    poller->fds[count].events = POLLIN;
    poller->fds[count].revents = 0;
    poller->fds[count + 1].fd = xs_fileno(poller->xs);
    poller->fds[count + 1].events = POLLIN;
    poller->fds[count + 1].revents = 0;
    if (poll(poller->fds, count + 2, timeout) < 0)
        return errno == EINTR ? 0 : -errno;

    if (poller->fds[count].revents) {
        uint64_t ignored;

        if (read(poller->wake_fd, &ignored, sizeof(ignored)) < 0 && errno != EAGAIN)
            return -errno;
        answer |= 1;
    }
    if (poller->fds[count + 1].revents) {
        int seen = drain_introductions(poller->xs);

        if (seen < 0)
            return -EPIPE;
        answer |= seen ? 2 : 0;
    }
    gettimeofday(&now, NULL);
    libxl_osevent_afterpoll(poller->ctx, count, poller->fds, now);
    return answer;
}

/* ERROR_NOT_READY when there is none. `reason` is that of a shutdown, else -1. */
static int xend_next_event(libxl_ctx *ctx, int *type, uint32_t *domid, int *reason)
{
    libxl_event *event;
    int rc = libxl_event_check(ctx, &event, LIBXL_EVENTMASK_ALL, NULL, NULL);

    if (rc)
        return rc;
    *type = event->type;
    *domid = event->domid;
    *reason = event->type == LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN
                  ? event->u.domain_shutdown.shutdown_reason
                  : -1;
    libxl_event_free(ctx, event);
    return 0;
}

/*----- the rest ------------------------------------------------------------------------------*/

/* Asks a guest through its control node and does not wait.  libxl_domain_shutdown and _reboot
 * wait up to 60 s for the guest to acknowledge, and know neither halt, suspend nor crash.
 * 0, or an errno. */
static int xend_control_write(uint32_t domid, const char *request)
{
    char path[64];
    unsigned length;
    void *present;
    struct xs_handle *xs = xs_open(0);
    int error = 0;

    if (!xs)
        return errno ? errno : EIO;
    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", domid);
    present = xs_read(xs, XBT_NULL, path, &length);
    if (!present || !xs_write(xs, XBT_NULL, path, request, strlen(request)))
        error = errno ? errno : EIO;
    free(present);
    xs_close(xs);
    return error;
}

/* A dead domain gets another /vm/<uuid>, so that its successor can have its own.  It has its new
 * name already: with an empty suffix libxl_domain_preserve keeps it.  An ERROR_*. */
static int xend_preserve(libxl_ctx *ctx, uint32_t domid, const char *name, const uint8_t *uuid)
{
    libxl_domain_create_info info;
    libxl_uuid fresh;
    int rc;

    libxl_domain_create_info_init(&info);
    info.name = strdup(name);
    if (!info.name)
        return ERROR_NOMEM;
    memcpy(libxl_uuid_bytearray(&fresh), uuid, 16);
    rc = libxl_domain_preserve(ctx, domid, &info, "", fresh);
    libxl_domain_create_info_dispose(&info);
    return rc;
}

/* 0, or an errno; ESRCH when the parent is gone already. */
static int xend_die_with_parent(int parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL))
        return errno;
    return getppid() == parent ? 0 : ESRCH;
}

static void xend_free(void *p)
{
    free(p);
}

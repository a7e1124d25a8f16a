/*
 * Stands in for the hypervisor under the real xenstored, on a machine without Xen (LD_PRELOAD).
 *
 * Every domid is a living domain, unless $XSSHIM_DIR has a file dead.<domid> or shutdown.<domid>.
 * A byte written to the FIFO $XSSHIM_DIR/virq is the hypervisor's "a domain changed its state"
 * (VIRQ_DOM_EXC): xenstored then looks at all of them, and fires @releaseDomain.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#define VIRQ_PORT 1
#define OTHER_PORT 2

static int virq = -1;

static const char *in_folder(char *buffer, size_t size, const char *name, unsigned int domid)
{
    snprintf(buffer, size, "%s/%s.%u", getenv("XSSHIM_DIR"), name, domid);
    return buffer;
}

/* /proc/xen/xsd_kva is the page shared with dom0's kernel, xsd_port the number of its channel. */
int open(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    va_list more;
    mode_t mode;
    int fd;

    va_start(more, flags);
    mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (!strncmp(path, "/proc/xen/xsd_", 14)) {
        fd = memfd_create("xsd", 0);
        if (!strcmp(path + 14, "kva"))
            return ftruncate(fd, getpagesize()) ? -1 : fd;
        return write(fd, "1", 1) == 1 && !lseek(fd, 0, SEEK_SET) ? fd : -1;
    }
    if (!real)
        real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    return real(path, flags, mode);
}

xc_interface *xc_interface_open(xentoollog_logger *a, xentoollog_logger *b, unsigned int flags)
{
    return (xc_interface *)&virq;
}

int xc_interface_close(xc_interface *handle) { return 0; }

int xc_domain_getinfo(xc_interface *handle, uint32_t domid, unsigned int count, xc_dominfo_t *info)
{
    char path[4096];

    memset(info, 0, sizeof(*info));
    if (!access(in_folder(path, sizeof(path), "dead", domid), F_OK))
        return 0;
    info->domid = domid;
    info->shutdown = !access(in_folder(path, sizeof(path), "shutdown", domid), F_OK);
    return 1;
}

xengnttab_handle *xengnttab_open(xentoollog_logger *log, unsigned int flags)
{
    return (xengnttab_handle *)&virq;
}

int xengnttab_close(xengnttab_handle *handle) { return 0; }
int xengnttab_set_max_grants(xengnttab_handle *handle, uint32_t count) { return 0; }

void *xengnttab_map_grant_ref(xengnttab_handle *handle, uint32_t domid, uint32_t ref, int prot)
{
    void *page = mmap(NULL, getpagesize(), prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return page == MAP_FAILED ? NULL : page;
}

int xengnttab_unmap(xengnttab_handle *handle, void *start, uint32_t count)
{
    return munmap(start, count * getpagesize());
}

xenevtchn_handle *xenevtchn_open(xentoollog_logger *log, unsigned int flags)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/virq", getenv("XSSHIM_DIR"));
    virq = open(path, O_RDWR | O_NONBLOCK);
    return virq < 0 ? NULL : (xenevtchn_handle *)&virq;
}

xenevtchn_handle *xenevtchn_fdopen(xentoollog_logger *log, int fd, unsigned int flags)
{
    return NULL;
}

int xenevtchn_fd(xenevtchn_handle *handle) { return virq; }

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *handle)
{
    char byte;

    return read(virq, &byte, 1) == 1 ? VIRQ_PORT : -1;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *handle, unsigned int number)
{
    return VIRQ_PORT;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *handle, uint32_t domid,
                                                     evtchn_port_t port)
{
    return OTHER_PORT;
}

int xenevtchn_unbind(xenevtchn_handle *handle, evtchn_port_t port) { return 0; }
int xenevtchn_unmask(xenevtchn_handle *handle, evtchn_port_t port) { return 0; }
int xenevtchn_notify(xenevtchn_handle *handle, evtchn_port_t port) { return 0; }

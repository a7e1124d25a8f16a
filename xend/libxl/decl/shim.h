/* What cannot be said in a cdef, or is cheaper in C: see shim.c. */

typedef struct xend_logger xend_logger;
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

#define XEND_DOMINFO_SIZE ...
#define XTL_PROGRESS ...
#define XTL_WARN ...
#define XTL_ERROR ...

xend_logger *xend_logger_new(int min_level, int echo_fd);
void xend_logger_free(xend_logger *logger);
void xend_logger_listen(xend_logger *logger, void *listener);
int xend_logger_take(xend_logger *logger, char *text, int size);
int xend_logger_disaster(xend_logger *logger);
libxl_ctx *xend_ctx_new(xend_logger *logger, int *rc);
int xend_ctx_free(libxl_ctx *ctx);
void xend_console_how(libxl_asyncprogress_how *how, xend_logger *logger);

xend_dominfo *xend_list(libxl_ctx *ctx, int *count);
int xend_info(libxl_ctx *ctx, uint32_t domid, xend_dominfo *out);
int xend_new_domains(libxl_ctx *ctx, const uint8_t *known, int known_bytes, xend_dominfo *out,
                     int room);

typedef struct xend_poller xend_poller;
xend_poller *xend_poller_new(libxl_ctx *ctx, int wake_fd);
void xend_poller_free(xend_poller *poller);
int xend_poller_wait(xend_poller *poller);
int xend_next_event(libxl_ctx *ctx, int *type, uint32_t *domid, int *reason);
int libxl_evenable_domain_death(libxl_ctx *ctx, uint32_t domid, uint64_t user,
                                libxl_evgen_domain_death **evgen_out);
void libxl_evdisable_domain_death(libxl_ctx *ctx, libxl_evgen_domain_death *evgen);

int xend_control_write(uint32_t domid, const char *request);
int xend_preserve(libxl_ctx *ctx, uint32_t domid, const char *name, const uint8_t *uuid);
int xend_die_with_parent(int parent);
void xend_free(void *p);

extern "Python" void xend_py_progress(void *listener, uint32_t domid, const char *what,
                                      int percent, uint64_t done, uint64_t total);

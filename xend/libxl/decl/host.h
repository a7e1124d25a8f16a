/* The host and the hypervisor. */

int libxl_get_physinfo(libxl_ctx *ctx, libxl_physinfo *physinfo);
void libxl_physinfo_init(libxl_physinfo *physinfo);
void libxl_physinfo_dispose(libxl_physinfo *physinfo);
const libxl_version_info *libxl_get_version_info(libxl_ctx *ctx);
int libxl_get_scheduler(libxl_ctx *ctx);
const char *xend_scheduler_name(int scheduler);
const char *xend_error_name(int rc);

libxl_cpupoolinfo *libxl_list_cpupool(libxl_ctx *ctx, int *nb_pool_out);
void libxl_cpupoolinfo_list_free(libxl_cpupoolinfo *list, int nb_pool);
int libxl_get_freecpus(libxl_ctx *ctx, libxl_bitmap *cpumap);
int libxl_cpupool_create(libxl_ctx *ctx, const char *name, libxl_scheduler sched,
                         libxl_bitmap cpumap, libxl_uuid *uuid, uint32_t *poolid);
int libxl_cpupool_destroy(libxl_ctx *ctx, uint32_t poolid);
int libxl_cpupool_rename(libxl_ctx *ctx, const char *name, uint32_t poolid);
int libxl_cpupool_cpuadd(libxl_ctx *ctx, uint32_t poolid, int cpu);
int libxl_cpupool_cpuremove(libxl_ctx *ctx, uint32_t poolid, int cpu);
int libxl_cpupool_movedomain(libxl_ctx *ctx, uint32_t poolid, uint32_t domid);
int libxl_scheduler_from_string(const char *s, libxl_scheduler *e);
libxl_cputopology *libxl_get_cpu_topology(libxl_ctx *ctx, int *nb_cpu_out);
void libxl_cputopology_list_free(libxl_cputopology *list, int nb_cpu);
libxl_numainfo *libxl_get_numainfo(libxl_ctx *ctx, int *nr);
void libxl_numainfo_list_free(libxl_numainfo *list, int nr);

libxl_xen_console_reader *libxl_xen_console_read_start(libxl_ctx *ctx, int clear);
int libxl_xen_console_read_line(libxl_ctx *ctx, libxl_xen_console_reader *cr, char **line_r);
void libxl_xen_console_read_finish(libxl_ctx *ctx, libxl_xen_console_reader *cr);
int libxl_send_debug_keys(libxl_ctx *ctx, char *keys);

void libxl_bitmap_init(libxl_bitmap *map);
int libxl_bitmap_alloc(libxl_ctx *ctx, libxl_bitmap *bitmap, int n_bits);
void libxl_bitmap_dispose(libxl_bitmap *map);
void libxl_bitmap_set(libxl_bitmap *bitmap, int bit);

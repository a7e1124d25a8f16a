/* What `xl` shows beyond the rest: labels, affinities, pools, schedulers, where devices sit. */

typedef struct { uint32_t domid; char *ssid_label; ...; } libxl_dominfo;
typedef struct { uint16_t seg; uint8_t bus, devfn; uint32_t node; ...; } libxl_pcitopology;
typedef struct { int tslice_ms, ratelimit_us; ...; } libxl_sched_credit_params;
typedef struct { int ratelimit_us; ...; } libxl_sched_credit2_params;

libxl_dominfo *libxl_list_domain(libxl_ctx *ctx, int *nb_domain_out);
void libxl_dominfo_list_free(libxl_dominfo *list, int nb_domain);
libxl_pcitopology *libxl_get_pci_topology(libxl_ctx *ctx, int *num_devs);
void libxl_pcitopology_list_free(libxl_pcitopology *list, int nr);

int libxl_node_bitmap_alloc(libxl_ctx *ctx, libxl_bitmap *nodemap, int max_nodes);
int libxl_domain_get_nodeaffinity(libxl_ctx *ctx, uint32_t domid, libxl_bitmap *nodemap);

void libxl_sched_credit_params_init(libxl_sched_credit_params *params);
int libxl_sched_credit_params_get(libxl_ctx *ctx, uint32_t poolid,
                                  libxl_sched_credit_params *params);
int libxl_sched_credit_params_set(libxl_ctx *ctx, uint32_t poolid,
                                  libxl_sched_credit_params *params);
void libxl_sched_credit2_params_init(libxl_sched_credit2_params *params);
int libxl_sched_credit2_params_get(libxl_ctx *ctx, uint32_t poolid,
                                   libxl_sched_credit2_params *params);
int libxl_sched_credit2_params_set(libxl_ctx *ctx, uint32_t poolid,
                                   libxl_sched_credit2_params *params);

unsigned xend_newer_capabilities(const libxl_physinfo *info);
int xend_migration_delay(const libxl_sched_credit_params *params);
void xend_set_migration_delay(libxl_sched_credit_params *params, int delay_us);

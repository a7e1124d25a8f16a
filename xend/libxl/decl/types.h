/* Types of libxl that cross the border.  Structures are partial ("...;"): the compiler fills in
 * layout and size from the headers of the release that it is built against. */

typedef struct libxl__ctx libxl_ctx;
typedef struct { uint8_t uuid[16]; ...; } libxl_uuid;
typedef struct { uint32_t size; uint8_t *map; ...; } libxl_bitmap;

typedef struct { ...; } libxl_domain_config;
typedef struct { char *pdev_path; char *vdev; ...; } libxl_device_disk;
typedef struct { int devid; ...; } libxl_device_nic;
typedef struct { int devid; ...; } libxl_device_vfb;
typedef struct { int devid; ...; } libxl_device_vkb;
typedef struct { ...; } libxl_device_pci;
typedef struct { int devid; ...; } libxl_device_usbctrl;
typedef struct { ...; } libxl_device_usbdev;
typedef struct { uint32_t stream_version; ...; } libxl_domain_restore_params;

typedef struct {
    uint32_t threads_per_core, cores_per_socket, nr_cpus, cpu_khz, nr_nodes;
    uint32_t max_cpu_id;
    uint64_t total_pages, free_pages, scrub_pages, outstanding_pages;
    uint64_t sharing_freed_pages, sharing_used_frames;
    uint32_t hw_cap[8];
    bool cap_hvm, cap_pv, cap_hvm_directio, cap_hap, cap_shadow, cap_iommu_hap_pt_share;
    ...;
} libxl_physinfo;

typedef struct {
    int xen_version_major, xen_version_minor, pagesize;
    char *xen_version_extra, *compiler, *compile_by, *compile_domain, *compile_date;
    char *capabilities, *changeset, *commandline, *build_id;
    uint64_t virt_start;
    ...;
} libxl_version_info;

typedef struct {
    uint32_t vcpuid, cpu;
    bool online, blocked, running;
    uint64_t vcpu_time;
    libxl_bitmap cpumap, cpumap_soft;
    ...;
} libxl_vcpuinfo;

typedef int... libxl_scheduler;
typedef struct {
    uint32_t poolid, n_dom;
    char *pool_name;
    libxl_scheduler sched;
    libxl_bitmap cpumap;
    ...;
} libxl_cpupoolinfo;
typedef struct { libxl_scheduler sched; int weight, cap; ...; } libxl_domain_sched_params;
typedef struct { uint32_t core, socket, node; ...; } libxl_cputopology;
typedef struct { uint64_t size, free; int num_dists; uint32_t *dists; ...; } libxl_numainfo;

typedef struct { ...; } libxl_asyncop_how;
typedef struct { ...; } libxl_asyncprogress_how;
typedef struct libxl__evgen_domain_death libxl_evgen_domain_death;
typedef struct libxl__xen_console_reader libxl_xen_console_reader;

typedef int... libxl_trigger;
#define LIBXL_TRIGGER_POWER ...
#define LIBXL_TRIGGER_SLEEP ...
#define LIBXL_TRIGGER_NMI ...
#define LIBXL_TRIGGER_INIT ...
#define LIBXL_TRIGGER_RESET ...
#define LIBXL_TRIGGER_S3RESUME ...

#define LIBXL_EVENT_TYPE_DOMAIN_SHUTDOWN ...
#define LIBXL_EVENT_TYPE_DOMAIN_DEATH ...

#define ERROR_FAIL ...
#define ERROR_INVAL ...
#define ERROR_NOPARAVIRT ...
#define ERROR_NOT_READY ...
#define ERROR_DOMAIN_NOTFOUND ...

/* Hot-plug. */

void libxl_device_disk_init(libxl_device_disk *p);
void libxl_device_disk_dispose(libxl_device_disk *p);
char *libxl_device_disk_to_json(libxl_ctx *ctx, libxl_device_disk *p);
int libxl_device_disk_from_json(libxl_ctx *ctx, libxl_device_disk *p, const char *json);
int libxl_device_disk_add(libxl_ctx *ctx, uint32_t domid, libxl_device_disk *p,
                          const libxl_asyncop_how *ao_how);
int libxl_device_disk_remove(libxl_ctx *ctx, uint32_t domid, libxl_device_disk *p,
                             const libxl_asyncop_how *ao_how);
int libxl_device_disk_destroy(libxl_ctx *ctx, uint32_t domid, libxl_device_disk *p,
                              const libxl_asyncop_how *ao_how);
int libxl_vdev_to_device_disk(libxl_ctx *ctx, uint32_t domid, const char *vdev,
                              libxl_device_disk *p);

void libxl_device_nic_init(libxl_device_nic *p);
void libxl_device_nic_dispose(libxl_device_nic *p);
char *libxl_device_nic_to_json(libxl_ctx *ctx, libxl_device_nic *p);
int libxl_device_nic_from_json(libxl_ctx *ctx, libxl_device_nic *p, const char *json);
int libxl_device_nic_add(libxl_ctx *ctx, uint32_t domid, libxl_device_nic *p,
                         const libxl_asyncop_how *ao_how);
int libxl_device_nic_remove(libxl_ctx *ctx, uint32_t domid, libxl_device_nic *p,
                            const libxl_asyncop_how *ao_how);
int libxl_device_nic_destroy(libxl_ctx *ctx, uint32_t domid, libxl_device_nic *p,
                             const libxl_asyncop_how *ao_how);
int libxl_devid_to_device_nic(libxl_ctx *ctx, uint32_t domid, int devid, libxl_device_nic *p);

void libxl_device_vfb_init(libxl_device_vfb *p);
void libxl_device_vfb_dispose(libxl_device_vfb *p);
char *libxl_device_vfb_to_json(libxl_ctx *ctx, libxl_device_vfb *p);
int libxl_device_vfb_from_json(libxl_ctx *ctx, libxl_device_vfb *p, const char *json);
int libxl_device_vfb_add(libxl_ctx *ctx, uint32_t domid, libxl_device_vfb *p,
                         const libxl_asyncop_how *ao_how);
int libxl_device_vfb_remove(libxl_ctx *ctx, uint32_t domid, libxl_device_vfb *p,
                            const libxl_asyncop_how *ao_how);
int libxl_device_vfb_destroy(libxl_ctx *ctx, uint32_t domid, libxl_device_vfb *p,
                             const libxl_asyncop_how *ao_how);

void libxl_device_vkb_init(libxl_device_vkb *p);
void libxl_device_vkb_dispose(libxl_device_vkb *p);
char *libxl_device_vkb_to_json(libxl_ctx *ctx, libxl_device_vkb *p);
int libxl_device_vkb_from_json(libxl_ctx *ctx, libxl_device_vkb *p, const char *json);
int libxl_device_vkb_add(libxl_ctx *ctx, uint32_t domid, libxl_device_vkb *p,
                         const libxl_asyncop_how *ao_how);
int libxl_device_vkb_remove(libxl_ctx *ctx, uint32_t domid, libxl_device_vkb *p,
                            const libxl_asyncop_how *ao_how);
int libxl_device_vkb_destroy(libxl_ctx *ctx, uint32_t domid, libxl_device_vkb *p,
                             const libxl_asyncop_how *ao_how);

void libxl_device_pci_init(libxl_device_pci *p);
void libxl_device_pci_dispose(libxl_device_pci *p);
char *libxl_device_pci_to_json(libxl_ctx *ctx, libxl_device_pci *p);
int libxl_device_pci_from_json(libxl_ctx *ctx, libxl_device_pci *p, const char *json);
int libxl_device_pci_add(libxl_ctx *ctx, uint32_t domid, libxl_device_pci *p,
                         const libxl_asyncop_how *ao_how);
int libxl_device_pci_remove(libxl_ctx *ctx, uint32_t domid, libxl_device_pci *p,
                            const libxl_asyncop_how *ao_how);
int libxl_device_pci_destroy(libxl_ctx *ctx, uint32_t domid, libxl_device_pci *p,
                             const libxl_asyncop_how *ao_how);
int libxl_cdrom_insert(libxl_ctx *ctx, uint32_t domid, libxl_device_disk *disk,
                       const libxl_asyncop_how *ao_how);

void libxl_device_usbctrl_init(libxl_device_usbctrl *p);
void libxl_device_usbctrl_dispose(libxl_device_usbctrl *p);
char *libxl_device_usbctrl_to_json(libxl_ctx *ctx, libxl_device_usbctrl *p);
int libxl_device_usbctrl_from_json(libxl_ctx *ctx, libxl_device_usbctrl *p, const char *json);
int libxl_device_usbctrl_add(libxl_ctx *ctx, uint32_t domid, libxl_device_usbctrl *p,
                             const libxl_asyncop_how *ao_how);
int libxl_device_usbctrl_remove(libxl_ctx *ctx, uint32_t domid, libxl_device_usbctrl *p,
                                const libxl_asyncop_how *ao_how);
int libxl_device_usbctrl_destroy(libxl_ctx *ctx, uint32_t domid, libxl_device_usbctrl *p,
                                 const libxl_asyncop_how *ao_how);
int libxl_devid_to_device_usbctrl(libxl_ctx *ctx, uint32_t domid, int devid,
                                  libxl_device_usbctrl *p);

void libxl_device_usbdev_init(libxl_device_usbdev *p);
void libxl_device_usbdev_dispose(libxl_device_usbdev *p);
char *libxl_device_usbdev_to_json(libxl_ctx *ctx, libxl_device_usbdev *p);
int libxl_device_usbdev_from_json(libxl_ctx *ctx, libxl_device_usbdev *p, const char *json);
int libxl_device_usbdev_add(libxl_ctx *ctx, uint32_t domid, libxl_device_usbdev *p,
                            const libxl_asyncop_how *ao_how);
int libxl_device_usbdev_remove(libxl_ctx *ctx, uint32_t domid, libxl_device_usbdev *p,
                               const libxl_asyncop_how *ao_how);
int libxl_ctrlport_to_device_usbdev(libxl_ctx *ctx, uint32_t domid, int ctrl, int port,
                                    libxl_device_usbdev *p);

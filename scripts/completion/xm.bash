# Bash completion for xm: subcommands, their options, names of domains, CPU pools and files.
# Install as /usr/share/bash-completion/completions/xm (or source it).

_xm_commands='addlabel block-attach block-configure block-detach block-list console
cpupool-cpu-add cpupool-cpu-remove cpupool-create cpupool-delete cpupool-destroy cpupool-list
cpupool-migrate cpupool-new cpupool-start create debug-keys delete destroy dmesg domid domname
domstate dry-run dump-core dumppolicy event-monitor getenforce getlabel getpolicy help info labels
list log mem-max mem-set migrate network-attach network-del network-detach network-list
network-new network-show network2-attach network2-detach network2-list new pause pci-attach
pci-detach pci-list pci-list-assignable-devices reboot rename reset resetpolicy resources restore
resume rmlabel save sched-credit sched-credit2 sched-sedf scsi-attach scsi-detach scsi-list serve
setenforce setpolicy shell shutdown start suspend sysrq tmem-destroy tmem-flush tmem-freeable
tmem-freeze tmem-list tmem-set tmem-shared-auth tmem-thaw top trigger unpause uptime usb-add
usb-attach usb-del usb-detach usb-hc-create usb-hc-destroy usb-list usb-list-assignable-devices
vcpu-list vcpu-pin vcpu-set vncviewer vnet-create vnet-delete vnet-list'

_xm_options() {
    case $1 in
        block-detach | network-detach) echo -f --force ;;
        block-list | network-list | scsi-list) echo -l --long --json ;;
        console) echo -q --quiet -n --num ;;
        cpupool-create | cpupool-new) echo --help_config --path= --defconfig= --config= --dryrun ;;
        cpupool-list) echo -l --long -c --cpus --json ;;
        create | new)
            echo --help_config --quiet --path= --defconfig= --config= --dryrun --xmldryrun \
                --skipdtd --paused --console_autoconnect --vncviewer --vncviewer-autopass
            ;;
        dmesg) echo -c --clear ;;
        dump-core) echo -L --live -C --crash -R --reset ;;
        info) echo -c --config -n --numa --json ;;
        list) echo -l --long --label --state= --pool= --json ;;
        migrate) echo -l --live --port= --node= -s --ssl -c --change_home_server ;;
        pci-attach) echo -o --options= ;;
        pci-list | vcpu-list) echo --json ;;
        reboot) echo -w --wait -a --all ;;
        restore | resume) echo -p --paused ;;
        save) echo -c --checkpoint ;;
        sched-credit) echo --domain= --weight= --cap= --json ;;
        sched-credit2) echo --domain= --weight= --json ;;
        shutdown) echo -w --wait -a --all -R --reboot -H --halt ;;
        start) echo -p --paused -c --console_autoconnect --vncviewer --vncviewer-autopass ;;
        uptime) echo -s --short --json ;;
        vncviewer) echo --autopass --vncviewer-autopass ;;
    esac
}

_xm_domains() {
    command xm list 2>/dev/null | while read -r name _; do
        [ "$name" = Name ] || echo "$name"
    done
}

_xm_pools() {
    command xm cpupool-list 2>/dev/null | while read -r name _; do
        [ "$name" = Name ] || echo "$name"
    done
}

_xm() {
    local current=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$_xm_commands" -- "$current")
        return
    fi
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_xm_options "$command") --help" -- "$current")
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        return
    fi
    case $command in
        create | new | restore | cpupool-create | cpupool-new)
            compopt -o filenames
            mapfile -t COMPREPLY < <(
                compgen -f -- "$current"
                case $command in
                    create | new) cd /etc/xen 2>/dev/null && compgen -f -- "$current" ;;
                    cpupool-*) cd /etc/xen/cpupool 2>/dev/null && compgen -f -- "$current" ;;
                esac
            )
            ;;
        cpupool-migrate)
            if [ "$COMP_CWORD" -eq 2 ]; then
                mapfile -t COMPREPLY < <(compgen -W "$(_xm_domains)" -- "$current")
            else
                mapfile -t COMPREPLY < <(compgen -W "$(_xm_pools)" -- "$current")
            fi
            ;;
        cpupool-*)
            mapfile -t COMPREPLY < <(compgen -W "$(_xm_pools)" -- "$current")
            ;;
        save | dump-core | block-attach | block-configure)
            if [[ " ${COMP_WORDS[*]:2:COMP_CWORD-2} " =~ \ [^-] ]]; then
                compopt -o filenames
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
            else
                mapfile -t COMPREPLY < <(compgen -W "$(_xm_domains)" -- "$current")
            fi
            ;;
        trigger)
            if [ "$COMP_CWORD" -eq 3 ]; then
                mapfile -t COMPREPLY < <(
                    compgen -W 'nmi reset init s3resume power' -- "$current"
                )
            else
                mapfile -t COMPREPLY < <(compgen -W "$(_xm_domains)" -- "$current")
            fi
            ;;
        dmesg | info | log | help | shell | serve | top | debug-keys | domname) ;;
        *)
            mapfile -t COMPREPLY < <(compgen -W "$(_xm_domains)" -- "$current")
            ;;
    esac
}

complete -F _xm xm

# Bash completion for xm, xend, and xend's own xl (/usr/lib/xend/bin/xl): subcommands, their options,
# names of domains, CPU pools and files.
# Install as /usr/share/bash-completion/completions/xend, with a link xm to it (or source it).

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
        domstate | pci-list | pci-list-assignable-devices | usb-list | \
            usb-list-assignable-devices | vcpu-list) echo --json ;;
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

_xl_commands='block-attach block-detach block-list button-press cd-eject cd-insert claims console
cpupool-cpu-add cpupool-cpu-remove cpupool-create cpupool-destroy cpupool-list cpupool-migrate
cpupool-numa-split cpupool-rename create debug-keys destroy dmesg domid domname dump-core help info list mem-max mem-set
network-attach network-detach network-list pause reboot rename restore save sched-credit
sched-credit2 shutdown sysrq top trigger unpause uptime vcpu-list vcpu-pin vcpu-set vm-list
vncviewer'

_xl_options() {
    case $1 in
        block-detach) echo -f --force ;;
        console) echo -t -n ;;
        cpupool-create) echo -f --defconfig= -n --dryrun ;;
        cpupool-list) echo -c --cpus ;;
        create)
            echo -c -d -e -F -f --defconfig= -n --dryrun -p -q --quiet -V --vncviewer \
                -A --vncviewer-autopass --ignore-global-affinity-masks
            ;;
        destroy) echo -f ;;
        dmesg) echo -c ;;
        info) echo -n --numa ;;
        list) echo -l --long -v --verbose -Z --context -c --cpupool -n --numa ;;
        reboot | shutdown) echo -a --all -F -w --wait ;;
        restore) echo -p -e -c -d -V --vncviewer -A --vncviewer-autopass ;;
        save) echo -c -p -D ;;
        sched-credit)
            echo -d --domain= -w --weight= -c --cap= -s --schedparam -t --tslice_ms= \
                -r --ratelimit_us= -m --migration_delay_us= -p --cpupool=
            ;;
        sched-credit2)
            echo -d --domain= -w --weight= -c --cap= -s --schedparam -r --ratelimit_us= \
                -p --cpupool=
            ;;
        uptime) echo -s ;;
        vcpu-pin) echo -f --force --ignore-global-affinity-masks ;;
        vcpu-set) echo -i --ignore-host ;;
        vncviewer) echo --autopass --vncviewer-autopass ;;
    esac
}

_xend_words='start stop restart reload status import adopt check convert check-config --foreground
--hypervisor= --config= --state-dir= --run-dir= --log-file= --help'

# Offer the lines of standard input that begin as the current word does.  Names come from outside:
# they are quoted, and never expanded as the words of `compgen -W` are.
_xend_offer() {
    local word
    while IFS= read -r word; do
        [[ -n $word && $word == "$_xend_current"* ]] || continue
        printf -v word %q "$word"
        COMPREPLY+=("${word#"$_xend_colons"}")
    done
}

_xend_offer_words() {
    _xend_offer < <(printf '%s\n' "$@")
}

_xend_offer_files() {
    compopt -o filenames
    mapfile -t COMPREPLY < <(
        compgen -f -- "$_xend_current"
        [[ -z $1 ]] || { cd "$1" 2>/dev/null && compgen -f -- "$_xend_current"; }
    )
}

# The word under the cursor, whole: readline cuts names at colons, and replaces only the last part.
_xend_take_word() {
    _xend_current=${COMP_WORDS[COMP_CWORD]} _xend_colons=''
    [[ $COMP_WORDBREAKS == *:* && -n $COMP_LINE ]] || return
    local line=${COMP_LINE:0:COMP_POINT}
    _xend_current=${line##* }
    [[ $_xend_current == *:* ]] && _xend_colons=${_xend_current%:*}:
}

# Names of domains, blanks and all: what stands in front of id, memory, VCPUs, state and time, or
# in front of memory, VCPUs and time of one that does not run.
_xend_domains() {
    local line running='^(.*[^ ]) +[0-9]+ +[0-9]+ +[0-9]+ +[^ ]+ +[0-9.]+$'
    local halted='^(.*[^ ]) +[0-9]+ +[0-9]+ +[0-9.]+$'
    "$1" list 2>/dev/null | while IFS= read -r line; do
        [[ $line =~ $running || $line =~ $halted ]] && printf '%s\n' "${BASH_REMATCH[1]}"
    done
}

_xend_pools() {
    "$1" cpupool-list 2>/dev/null | while read -r name _; do
        [ "$name" = Name ] || printf '%s\n' "$name"
    done
}

_xend_operand_seen() {
    [[ " ${COMP_WORDS[*]:2:COMP_CWORD-2} " =~ \ [^-\ ] ]]
}

# What a subcommand takes besides options; the same for both syntaxes.
_xend_operands() {
    local program=$1 command=$2
    case $command in
        create | new) _xend_offer_files /etc/xen ;;
        cpupool-create | cpupool-new) _xend_offer_files /etc/xen/cpupool ;;
        restore) _xend_offer_files ;;
        cpupool-migrate)
            if _xend_operand_seen; then
                _xend_offer < <(_xend_pools "$program")
            else
                _xend_offer < <(_xend_domains "$program")
            fi
            ;;
        cpupool-numa-split) ;;
        cpupool-*) _xend_offer < <(_xend_pools "$program") ;;
        save | dump-core | block-attach | block-configure | cd-insert)
            if _xend_operand_seen; then
                _xend_offer_files
            else
                _xend_offer < <(_xend_domains "$program")
            fi
            ;;
        trigger | button-press)
            if ! _xend_operand_seen; then
                _xend_offer < <(_xend_domains "$program")
            elif [ "$command" = trigger ]; then
                _xend_offer_words nmi reset init s3resume power
            else
                _xend_offer_words power sleep
            fi
            ;;
        dmesg | info | log | shell | serve | top | debug-keys | domname | vm-list | claims) ;;
        help) ;;
        *) _xend_offer < <(_xend_domains "$program") ;;
    esac
}

# NAME is xm or xl: whose subcommands and options.
_xend_complete() {
    local name=$1 program=${COMP_WORDS[0]} command=${COMP_WORDS[1]} commands=_${1}_commands
    local _xend_current _xend_colons
    COMPREPLY=()
    _xend_take_word
    if [ "$COMP_CWORD" -eq 1 ]; then
        _xend_offer_words ${!commands}
    elif [[ $_xend_current == -* ]]; then
        _xend_offer_words $("_${name}_options" "$command") --help
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    else
        _xend_operands "$program" "$command"
    fi
}

_xm() { _xend_complete xm; }
_xl_of_xend() { _xend_complete xl; }

_xend() {
    local _xend_current _xend_colons verb=''
    [ "$COMP_CWORD" -eq 1 ] || verb=${COMP_WORDS[1]}
    COMPREPLY=()
    _xend_take_word
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --hypervisor) _xend_offer_words xen sim ;;
        --from) _xend_offer_words xm xl sxp json ;;
        --to) _xend_offer_words xl sxp json ;;
        --config | --state-dir | --run-dir | --log-file) _xend_offer_files ;;
        *) _xend_verb "$verb" ;;
    esac
}

_xend_verb() {
    local options=''
    case $1 in
        import) options=--dry-run ;;
        check) options=--from ;;
        convert) options='--to --from' ;;
        adopt | check-config) ;;
        *)
            _xend_offer_words $_xend_words
            [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
            return
            ;;
    esac
    if [[ $_xend_current == -* ]]; then
        _xend_offer_words $options --help
    elif [ "$1" = adopt ]; then
        _xend_offer < <(_xend_domains xm)
    else
        _xend_offer_files /etc/xen
    fi
}

complete -F _xm xm
complete -F _xend xend
complete -F _xl_of_xend /usr/lib/xend/bin/xl
# The name alone is the distribution's, unless xend's folder is in front of its.
[ "$(command -v xl)" != /usr/lib/xend/bin/xl ] || complete -F _xl_of_xend xl

#!/bin/sh
# A Grid Engine on this machine, with two queues: sge_up.sh up | execd | down. For tests, as root, with
# Debian's packages: apt-get install gridengine-master gridengine-exec gridengine-client
set -eu
export SGE_ROOT=/var/lib/gridengine SGE_CELL=default
common=$SGE_ROOT/$SGE_CELL/common
host=$(uname -n)
MASTER=/var/spool/gridengine/qmaster/qmaster.pid
SPOOL=/var/spool/gridengine/execd  # the folder in it is named after the host, or localhost

# The process of a file of a process id: not one that has got the number since, and not one that has ended
# and that nobody has asked about yet.
alive() { [ -s "$1" ] && grep -q "^[0-9]* (sge_[a-z]*) [^Z]" "/proc/$(cat "$1" 2>/dev/null)/stat" 2>/dev/null; }

end() {  # a daemon, by the file of its process id
    if alive "$1"; then
        kill "$(cat "$1")"
        for _ in $(seq 50); do alive "$1" || return 0; sleep 0.2; done
        kill -9 "$(cat "$1")"
    fi
}

execd_pid() { find "$SPOOL" -name execd.pid | head -n 1; }

answers() {
    for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return 0; sleep 0.3; done
    echo "no answer: $*" >&2
    return 1
}

queue() {  # NAME SLOTS: a queue of this host
    qconf -sq "$1" >/dev/null 2>&1 && return 0
    qconf -sq 2>/dev/null | sed "s/^qname .*/qname $1/; s/^hostlist .*/hostlist $host/
        s/^slots .*/slots $2/; s/^load_thresholds .*/load_thresholds NONE/
        s/^pe_list .*/pe_list NONE/; s/^rerun .*/rerun TRUE/" >"$scratch/queue"
    qconf -Aq "$scratch/queue"
}

up() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    mkdir -p /run/gridengine
    chown sgeadmin:sgeadmin /run/gridengine
    echo "$host" >"$common/act_qmaster"
    # A machine whose address is that of localhost has one name for both.
    echo "$host localhost" >"$common/host_aliases"
    alive "$MASTER" || /usr/sbin/sge_qmaster
    answers qconf -sh
    qconf -ss 2>/dev/null | grep -qx "$host" || qconf -as "$host"
    # Root may run jobs; the scheduler looks every second.
    qconf -sconf | sed "s/^min_[ug]id .*/&/; s/^min_uid .*/min_uid 0/; s/^min_gid .*/min_gid 0/
        s/^max_unheard .*/max_unheard 00:00:20/
        s/^reschedule_unknown .*/reschedule_unknown 00:00:10/
        s/^load_report_time .*/load_report_time 00:00:05/" >"$scratch/global"
    qconf -Mconf "$scratch/global"
    qconf -ssconf | sed "s/^schedule_interval .*/schedule_interval 0:0:2/
        s/^job_load_adjustments .*/job_load_adjustments NONE/" >"$scratch/scheduler"
    qconf -Msconf "$scratch/scheduler"
    qconf -sc | sed "/^gpu /d; s/^\(mem_free .*<= *YES *\)NO /\1YES /" >"$scratch/complexes"
    echo "gpu gpu INT <= YES YES 0 0" >>"$scratch/complexes"
    qconf -Mc "$scratch/complexes"
    execd
    qconf -se "$host" | sed "/^load_values/,/^processors/d
        s/^complex_values .*/complex_values gpu=4,mem_free=64G/" >"$scratch/host"
    qconf -Me "$scratch/host"
    queue short.q 2
    queue long.q 2
}

execd() {
    alive "$(execd_pid)" && return 0
    qconf -sel 2>/dev/null | grep -qx "$host" || qconf -ah "$host" || true
    /usr/sbin/sge_execd
    answers qconf -se "$host"
}

down() {
    end "$(execd_pid)"
    end "$MASTER"
}

"${1:-up}"

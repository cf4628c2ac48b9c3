#!/bin/sh
# Accounting for the SLURM of the tests: slurm_accounting.sh up | down. slurmdbd with a MariaDB of its own.
# As root, on a SLURM that runs here with /etc/slurm/slurm.conf. Debian: apt-get install slurmdbd
# mariadb-server. FILE in `up FILE` has further lines for slurm.conf.
set -eu
HOME_OF_IT=/var/lib/kd-test-accounting
SOCKET=$HOME_OF_IT/mysql.sock
CONF=/etc/slurm/slurm.conf

alive() { [ -s "$1" ] && grep -q "^[0-9]* ($2) [^Z]" "/proc/$(cat "$1" 2>/dev/null)/stat" 2>/dev/null; }

answers() {
    for _ in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.3; done
    echo "no answer: $*" >&2
    return 1
}

end() {  # a daemon, by the file of its process id and its name
    if alive "$1" "$2"; then
        kill "$(cat "$1")"
        for _ in $(seq 50); do alive "$1" "$2" || return 0; sleep 0.2; done
        kill -9 "$(cat "$1")"
    fi
}

up() {
    rm -rf $HOME_OF_IT
    install -d -o mysql -g mysql $HOME_OF_IT $HOME_OF_IT/data
    mariadb-install-db --no-defaults --user=mysql --datadir=$HOME_OF_IT/data >/dev/null
    mariadbd --no-defaults --user=mysql --datadir=$HOME_OF_IT/data --socket=$SOCKET --skip-networking \
        --pid-file=$HOME_OF_IT/mariadb.pid >$HOME_OF_IT/mariadb.log 2>&1 &
    answers mariadb --no-defaults --socket=$SOCKET -e 'select 1'
    mariadb --no-defaults --socket=$SOCKET -e "create user slurm@localhost identified by 'test';
        grant all on slurm_acct_db.* to slurm@localhost"
    (umask 077; cat >/etc/slurm/slurmdbd.conf) <<DBD
# written by slurm_accounting.sh
AuthType=auth/munge
DbdHost=localhost
DbdPort=17500
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageLoc=slurm_acct_db
StorageUser=slurm
StoragePass=test
PidFile=$HOME_OF_IT/slurmdbd.pid
LogFile=$HOME_OF_IT/slurmdbd.log
DBD
    end /run/slurm-up/slurmctld.pid slurmctld
    sed -i 's/^AccountingStorageType=.*/AccountingStorageType=accounting_storage\/slurmdbd/' $CONF
    cat >>$CONF <<CONF
AccountingStorageHost=localhost
AccountingStoragePort=17500
AccountingStorageEnforce=associations
CONF
    [ $# -eq 0 ] || cat "$1" >>$CONF
    MYSQL_UNIX_PORT=$SOCKET slurmdbd
    answers sacctmgr show cluster
    sacctmgr --immediate add cluster kd >/dev/null
    sacctmgr --immediate add account research >/dev/null
    sacctmgr --immediate add user root account=research >/dev/null
    slurmctld
    answers sh -c 'sinfo -h -o %T | grep -q idle'
}

down() {
    end $HOME_OF_IT/slurmdbd.pid slurmdbd
    end $HOME_OF_IT/mariadb.pid mariadbd
    rm -rf $HOME_OF_IT
    if grep -qs "written by slurm_accounting.sh" /etc/slurm/slurmdbd.conf; then rm /etc/slurm/slurmdbd.conf; fi
}

"$@"

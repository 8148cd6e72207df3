#!/bin/sh
# Boots systemd in the namespaces of a test machine (tests/kit/machines.ts): PID 1 of a file system of its own, whose changes
# are kept in UPPER. Its /tmp is its own, but for CHECKOUT where that lies there. Usage: machine-boot.sh UPPER WORK ROOT CHECKOUT
set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$1,workdir=$2" "$3"
cd "$3"
mount -t proc proc proc
mount -t sysfs sysfs sys
for folder in run tmp dev; do mount -t tmpfs tmpfs $folder; done
case $4 in
  /tmp/*)
    mkdir -p ".$4"
    mount --bind "$4" ".$4"
    ;;
esac
for device in null zero full random urandom tty; do
  touch dev/$device
  mount --bind /dev/$device dev/$device
done
touch dev/console
mount --bind /dev/null dev/console
mkdir dev/pts dev/shm
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666
ln -s pts/ptmx dev/ptmx
if [ -d /sys/fs/cgroup/systemd ]; then
  mount -t tmpfs tmpfs sys/fs/cgroup
  mkdir sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
else
  mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
# At the first boot: what a boot needs, without the services of the machine below.
if [ ! -e etc/test-machine ]; then
  units=lib/systemd/system
  for target in multi-user sysinit local-fs timers graphical; do rm -rf $units/$target.target.wants; done
  rm -rf etc/systemd/system/*.wants
  mkdir -p $units/sysinit.target.wants var/log/journal
  ln -s ../systemd-journald.service $units/sysinit.target.wants/
  for unit in systemd-remount-fs.service systemd-journald-audit.socket; do ln -sf /dev/null etc/systemd/system/$unit; done
  touch etc/test-machine
fi
mkdir -p old
pivot_root . old
umount -l /old
exec env -i container=lxc PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin /lib/systemd/systemd --system --unit=multi-user.target

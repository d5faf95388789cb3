# A machine for a class, made of namespaces: accounts, homes, /var/cache and a network (loopback only) of its own, in which
# JupyterHub runs. Nothing of the real machine is changed, and all of it is gone with its first process.
#
#   unshare --mount --net --pid --fork --kill-child --mount-proc sh stage.sh PLACE TEMPLATE CONFIG NAME...
#
# PLACE is an empty directory; TEMPLATE is mounted read-only where all users look for one; each NAME gets an account with
# the password "NAME's secret".
set -eu
place=$1 template=$2 config=$3
shift 3
ip link set lo up

cp /etc/passwd /etc/group /etc/shadow "$place"
chmod 600 "$place/shadow"
mkdir "$place/home"
id=60000
members=
for name; do
    echo "$name:x:$id:$id::/home/$name:/bin/bash" >>"$place/passwd"
    echo "$name:x:$id:" >>"$place/group"
    echo "$name:$(openssl passwd -6 "$name's secret"):19000:0:99999:7:::" >>"$place/shadow"
    mkdir -m 700 "$place/home/$name"
    chown "$id:$id" "$place/home/$name"
    members=$members,$name
    id=$((id + 1))
done
# The last one has an account, and is no learner.
echo "learners:x:$id:${members%,*}" | sed 's/:,/:/' >>"$place/group"
for file in passwd group shadow; do
    mount --bind "$place/$file" "/etc/$file"
done
mount --bind "$place/home" /home

mount -t tmpfs -o mode=755 tmpfs /var/cache
shared=/var/cache/dockernb/$(basename "$template")
mkdir -p "$shared"
mount --bind "$template" "$shared"
mount -o remount,bind,ro "$shared"

mkdir -m 700 "$place/hub"
cd "$place/hub"
exec jupyterhub -f "$config"

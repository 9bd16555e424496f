#!/bin/bash
# Runs the tests in up to four places, prints every log and ends with one line that counts all of them.
#
#   root    here, as root
#   user    as an ordinary user: one made for this run when we are root, otherwise whoever we are
#   guest   in a User-Mode-Linux guest with a pure cgroup v2, as root and as an ordinary user
#   systemd in the same guest, booted by systemd: what systemd keeps, as root and as a user with a session
#
# TSBOX_TEST_PARTS="root user" chooses; arguments (file names, -t name) go to `bun test`. Without any, the guest, where
# starting a process takes ten times as long, runs what depends on the kernel; and a file in which a test failed is run
# once more, by itself, for those that only a busy machine makes fail. Each failure is named again at the end. The guest
# is a machine of its own, with one processor: without arguments it runs beside what runs here.
set -uo pipefail
cd "$(dirname "$0")/.."
parts=${TSBOX_TEST_PARTS:-root user guest systemd}
uml=$(readlink -f ../shared/conformance/uml)
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
passed=0 failed=0 skipped=0 broken=0
again=no # yes while the files that failed are run once more
user= guest= beside=
guest_tests="attacks bad-input cleanup cli.test container-cgroup container-exec container-life supervisor doctor examples executor.test image.test image-run isolation limits network.test network-crash network-rootless network-traffic oci-labels process runtime seccomp-kernel"
systemd_tests="container-cgroup systemd.test"
guest_packages="attr libarchive-tools"
guest_root="root-${guest_packages// /-}.ext4"

work=$(mktemp -d "${TMPDIR:-/tmp}/tsbox-test.XXXXXX")
chmod 711 "$work"
remove_user() {
  [ -n "$user" ] || return
  pkill -KILL -u "$user" # nobody but this run's tests was ever this user
  userdel --force "$user" 2>/dev/null
  rm -rf --one-file-system "$work/home"
  user=
}
clean_up() {
  [ -n "$beside" ] && kill -TERM "$beside" && wait "$beside"
  [ -n "$guest" ] && pkill -TERM -s "$guest" # the session of the guest's processes
  remove_user
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# tally NAME STATUS LOG: adds up the counts that `bun test` printed. A part without counts is broken, and so is one
# that failed without a failed test.
tally() {
  local name=$1 status=$2 log=$3 pass fail skip
  pass=$(last_count pass "$log") fail=$(last_count fail "$log") skip=$(last_count skip "$log")
  echo "== $name: ${pass:-no count of} passed, ${fail:-no count of} failed, ${skip:-0} skipped, exit status $status"
  if [ -z "$pass" ] || [ -z "$fail" ] || { [ "$status" != 0 ] && [ "$fail" = 0 ]; }; then broken=1; fi
  sed 's/\x1b\[[0-9;]*m//g' "$log" | tr -d '\r' | awk -v name="$name" -v again=$again -v files="$work/failed-files" '
    /^[0-9]+ tests? (failed|skipped):$/ { exit } # and all of them once more
    /^tests\/.*\.test\.ts:$/ { file = substr($0, 1, length($0) - 1) }
    /^\(fail\)/ { print name (again == "yes" ? ", again: " : ": ") file " " $0; print file >>files }' >>"$work/failures"
  [ $again = yes ] && failed_again=$((failed_again + ${fail:-0})) && return
  passed=$((passed + ${pass:-0})) failed=$((failed + ${fail:-0})) skipped=$((skipped + ${skip:-0}))
}
last_count() { sed 's/\x1b\[[0-9;]*m//g' "$2" | tr -d '\r' | grep -aoE "^ *[0-9]+ $1\$" | tail -n 1 | tr -dc 0-9; }

# copy_checkout FOLDER OWNER: a copy that its owner may write to; node_modules is shared by hard links.
copy_checkout() {
  rm -rf --one-file-system "$1"
  mkdir "$1"
  tar -c --exclude=./.git --exclude=./.cache --exclude=./node_modules . | tar -x -C "$1"
  chown -R "$2" "$1"
  cp -al node_modules "$1" 2>/dev/null || { rm -rf "$1/node_modules" && cp -a node_modules "$1"; }
}

run_here() {
  node_modules/.bin/bun test --timeout 30000 "$@" 2>&1 | tee "$work/here.log"
  tally "$part" "${PIPESTATUS[0]}" "$work/here.log"
}

run_as_fresh_user() {
  user=tsbox$RANDOM
  useradd --home-dir "$work/home" --create-home --shell /bin/bash "$user" || { broken=1 user=; return; }
  copy_checkout "$work/user" "$user:"
  (
    cd "$work/user" &&
      setpriv --reuid="$user" --regid="$user" --init-groups --inh-caps=-all \
        env -i HOME="$work/home" USER="$user" PATH="$path" LANG=C.UTF-8 TERM=dumb \
        node_modules/.bin/bun test --timeout 30000 "$@"
  ) 2>&1 | tee "$work/user.log"
  tally user "${PIPESTATUS[0]}" "$work/user.log"
  remove_user
}

# The guest sees $work/guest at the same path; a log and an exit status come back from each of its two runs.
run_in_guest() { # delegated|systemd TESTS...
  local mode=$1 share=$work/$1 run
  shift
  prepare_guest || { echo "== guest: its root filesystem could not be made" && broken=1 && return; }
  copy_checkout "$share" 1000:1000
  # shellcheck disable=SC2086 # words
  [ $# = 0 ] && case $mode in systemd) set -- $systemd_tests ;; *) set -- $guest_tests ;; esac
  write_guest_job "$mode" "$share" "$@"
  KERNEL=.cache/uml/linux TMO=${TSBOX_GUEST_TIMEOUT:-3600} \
    setsid "$uml/run.sh" .cache/uml/$guest_root "$share/job.sh" "$share" "${mode/delegated/}" &
  guest=$!
  wait "$guest"
  guest=
  for run in root tester; do
    touch "$share/$run.log"
    tally "guest, $mode, $run" "$(cat "$share/$run.status" 2>/dev/null || echo unknown)" "$share/$run.log"
  done
}

# Made once (about a minute) and kept; the lock is for several test runs at a time.
prepare_guest() (
  mkdir -p .cache/uml
  exec 9>.cache/uml/lock && flock 9
  if [ ! -x .cache/uml/linux ]; then
    xz -dc "$uml/linux.xz" >.cache/uml/linux && chmod +x .cache/uml/linux || return 1
  fi
  [ -e .cache/uml/$guest_root ] && return
  echo "guest: making its root filesystem"
  # shellcheck disable=SC2086 # words
  SIZE=2G "$uml/mkroot.sh" "$PWD/.cache/uml/root.new" $guest_packages 9>&- && mv .cache/uml/root.new .cache/uml/$guest_root
)

# Without systemd, the tester gets a cgroup delegated the way that does it: a subtree of its own, itself in a leaf.
write_guest_job() {
  local mode=$1 share=$2
  shift 2
  cat >"$share/job.sh" <<JOB
cd "$share"
bun_test() { # NAME COMMAND...: COMMAND has to end with env -i
  local name=\$1; shift
  "\$@" PATH=$path LANG=C.UTF-8 TERM=dumb TSBOX_GUEST=1 node_modules/.bin/bun test --timeout 60000 ${*@Q} 2>&1 |
    tee "\$name.log"
  echo "\${PIPESTATUS[0]}" >"\$name.status"
}
bun_test root env -i HOME=/root USER=root

if [ $mode = systemd ]; then
  # the guest has no pam_systemd, which would say where the user's own systemd is to live
  mkdir -p /run/systemd/system/user@.service.d
  printf '[Service]\\nPAMName=\\nEnvironment=XDG_RUNTIME_DIR=/run/user/%%i\\n' >/run/systemd/system/user@.service.d/runtime.conf
  systemctl daemon-reload
  systemctl start dbus.socket dbus.service user@1000.service
  for i in \$(seq 100); do [ -S /run/user/1000/systemd/private ] && break; sleep 0.2; done
else
  own=/sys/fs/cgroup/tester
  mkdir -p \$own/session
  for controller in \$(cat \$own/cgroup.controllers); do echo +\$controller >\$own/cgroup.subtree_control; done
  for file in "" /cgroup.procs /cgroup.threads /cgroup.subtree_control; do chown tester: \$own\$file \$own/session\$file; done
  echo \$\$ >\$own/session/cgroup.procs
fi
bun_test tester setpriv --reuid=tester --regid=tester --init-groups --inh-caps=-all env -i HOME=/home/tester USER=tester XDG_RUNTIME_DIR=/run/user/1000
JOB
}

run_part() { # TESTS...
  echo "== $part"
  case $part in
    root) if [ "$(id -u)" = 0 ]; then run_here "$@"; else echo "skipped: not root"; fi ;;
    user) if [ "$(id -u)" = 0 ]; then run_as_fresh_user "$@"; else run_here "$@"; fi ;;
    guest | systemd)
      if [ ! -d "$uml" ]; then
        echo "skipped: ../shared/conformance/uml is not there"
      elif [ "$(uname -m)" != x86_64 ]; then
        echo "skipped: the guest's kernel is for x86-64"
      elif [ "$(id -u)" != 0 ]; then
        echo "skipped: making the guest's files needs root"
      else
        run_in_guest "${part/guest/delegated}" "$@"
      fi
      ;;
    *) echo "no such part: $part" && broken=1 ;;
  esac
}

run_part_again() {
  local before=$1 files
  mapfile -t files < <(sort -u "$work/failed-files")
  again=yes failed_again=0
  run_part "${files[@]}"
  again=no
  local fixed=$((failed - before - failed_again))
  [ $fixed -gt 0 ] && failed=$((failed - fixed)) passed=$((passed + fixed))
}

# The guest's parts, by this script in another process; where there is none, they are skipped in their turn.
begin_beside() {
  local part here= there=
  [ "$(id -u)" = 0 ] && [ "$(uname -m)" = x86_64 ] && [ -d "$uml" ] || return
  for part in $parts; do
    case $part in guest | systemd) there="$there $part" ;; *) here="$here $part" ;; esac
  done
  [ -n "$here" ] && [ -n "$there" ] || return
  parts=$here
  TSBOX_TEST_PARTS=$there tests/run.sh >"$work/beside.log" 2>&1 &
  beside=$!
}
end_beside() {
  local status counts
  wait "$beside"
  status=$?
  beside=
  sed '$d' "$work/beside.log"
  counts=$(tail -n 1 "$work/beside.log")
  if [[ $counts =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed,\ ([0-9]+)\ skipped$ ]]; then
    passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2])) skipped=$((skipped + BASH_REMATCH[3]))
    [ $status = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || broken=1
  else
    broken=1
  fi
}

tests/setup.sh || broken=1
[ $# = 0 ] && begin_beside
for part in $parts; do
  before=$failed
  : >"$work/failed-files"
  run_part "$@"
  [ -s "$work/failed-files" ] && [ $# = 0 ] && run_part_again "$before"
done
[ -n "$beside" ] && end_beside
[ -s "$work/failures" ] && echo "== failures" && cat "$work/failures"
[ $((passed + failed)) = 0 ] && broken=1
[ "$broken" = 1 ] && echo "a part broke off, see its log above"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$broken" = 0 ]

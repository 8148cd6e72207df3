/** The installer script: downloads the package or the single executable, verifies it, and joins the mesh with it. */
import {
  EXECUTABLE_TARGETS,
  executableFile,
  INSTALL_PATH,
  type InstallFile,
  PACKAGE_FILE,
} from '../../shared/install/install-files.ts';

/**
 * The script for POSIX sh: `sh join.sh URL[,URL] [flags of tulle join]`, the invitation on standard input. It holds the
 * digests of `files`, so that a machine that verified the script verifies them too. As root it installs below /usr/local, else
 * below ~/.local: the package where the machine has a runtime, else the single executable.
 */
export function installScript(files: readonly InstallFile[]): string {
  const digestOf = (name: string) => files.find((file) => file.name === name)?.sha256 ?? '';
  const targets = EXECUTABLE_TARGETS.map((target) => `  ${target}) digest=${digestOf(executableFile(target))} ;;`);
  return SCRIPT.replaceAll('@PACKAGE_DIGEST@', digestOf(PACKAGE_FILE)).replace('  @TARGETS@', targets.join('\n'));
}

const SCRIPT = `#!/bin/sh
# Installs tulle from a control plane and joins its mesh. The line that "tulle invite" prints starts this file after it has
# verified it. Usage: sh join.sh URL[,URL] [flags of tulle join]; the invitation on standard input.
set -eu
umask 022

fail() {
  printf 'tulle: %s\\n' "$*" >&2
  exit 1
}

urls=\${1:-}
[ -n "$urls" ] || fail 'join.sh: names no control plane; run the whole line that "tulle invite" printed'
shift
if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=\${HOME:?}/.local; fi
home=$prefix/lib/tulle
command=$prefix/bin/tulle
work=$(mktemp -d) || fail 'cannot make a temporary folder; free space in /tmp'
made=
cleanup() {
  status=$?
  rm -rf "$work"
  [ -z "$made" ] || rm -rf "$home" "$command"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

machine=$(uname -s)-$(uname -m)
case $machine in
  Linux-x86_64 | Linux-amd64) target=linux-x64 ;;
  Linux-aarch64 | Linux-arm64) target=linux-arm64 ;;
  *) target=none ;;
esac
# The executables are linked to glibc.
[ -e /lib64/ld-linux-x86-64.so.2 ] || [ -e /lib/ld-linux-aarch64.so.1 ] || target=none
digest=
case $target in
  @TARGETS@
esac

has_runtime() {
  major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null </dev/null || echo 0)
  [ "$major" -ge 24 ] && return
  command -v bun >/dev/null && return
  command -v deno >/dev/null
}

if has_runtime && [ -n '@PACKAGE_DIGEST@' ]; then
  file=${PACKAGE_FILE}
  digest=@PACKAGE_DIGEST@
elif [ -n "$digest" ]; then
  file=tulle-$target
else
  fail "this machine ($machine) has no Node 24, Bun or Deno, and the control plane has no executable for it; install Node 24 and run the line again"
fi

download() {
  rest=$urls,
  while [ -n "$rest" ]; do
    url=\${rest%%,*}
    rest=\${rest#*,}
    # Not verified by its certificate, which this machine cannot know yet: the digest verifies what came.
    curl -fsSk --connect-timeout 10 --retry 3 "$url${INSTALL_PATH}/$1" -o "$work/$1" </dev/null && return
  done
  fail "cannot download $1 from $urls; is the control plane reachable?"
}

if [ "$(cat "$home/.digest" 2>/dev/null || :)" != "$digest" ]; then
  if [ -e "$command" ] && [ ! -e "$home/.digest" ]; then
    fail "$command exists and was not installed by a control plane; join with it (tulle invite --installed), or remove it"
  fi
  download "$file"
  printf '%s  %s\\n' "$digest" "$work/$file" | sha256sum -c - >/dev/null 2>&1 ||
    fail "$file has another digest than expected; the download was damaged, or the control plane was upgraded: run \\"tulle invite\\" again"
  new=$home.new.$$
  rm -rf "$new"
  [ -e "$home" ] || made=yes
  mkdir -p "$new" "$prefix/bin"
  if [ "$file" = ${PACKAGE_FILE} ]; then
    tar -xzf "$work/$file" -C "$new" --strip-components=1 </dev/null
    entry=control/cli/tulle
  else
    cp "$work/$file" "$new/tulle"
    chmod 755 "$new/tulle"
    entry=tulle
  fi
  printf '%s\\n' "$digest" >"$new/.digest"
  if [ -e "$home" ]; then mv "$home" "$home.old.$$"; fi
  mv "$new" "$home"
  rm -rf "$home.old.$$"
  ln -sf "../lib/tulle/$entry" "$command"
  # An upgrade: another process takes over from the proxy that runs.
  if [ -z "$made" ] && [ "$prefix" = /usr/local ] && systemctl -q is-active tulle-proxy.service 2>/dev/null; then
    systemctl reload-or-restart tulle-proxy.service </dev/null || fail 'installed, but the proxy was not replaced: "journalctl -u tulle-proxy" says why'
  fi
fi

case :$PATH: in
  *:"$prefix/bin":*) ;;
  *) printf 'tulle: installed as %s, which is not in PATH\\n' "$command" >&2 ;;
esac
rm -rf "$work"
rm -f "$0"
rmdir "$(dirname "$0")" 2>/dev/null || :
trap - EXIT
# A join that fails takes back what was installed for it.
if [ -n "$made" ]; then TULLE_INSTALLED=$prefix exec "$command" join - "$@"; fi
exec "$command" join - "$@"
`;

/** The line that a machine joins with, for sh, dash and bash. */
import { INSTALL_PATH, SCRIPT_FILE } from '../../../shared/install/install-files.ts';

export interface JoinLine {
  /** Its text: safe between single quotes. */
  readonly invitation: string;
  /** `https://HOST:PORT` */
  readonly controlPlanes: readonly string[];
  /** SHA-256 of the installer script, lower-case hexadecimal. */
  readonly scriptSha256: string;
  /** Without sudo: the machine joins as a user, without capture. */
  readonly asUser: boolean;
}

/** What neither a shell nor curl reads as more than a word. */
const PLAIN = /^[A-Za-z0-9._:/[\]-]+$/;

/**
 * Downloads the script, verifies it, and only then runs it. The invitation goes through a pipe of printf, which is built
 * into the shell, so that `ps` never shows it. Flags of `tulle join` may be written behind the line.
 * @throws Error where an address is none that a shell can be given
 */
export function bareLine({ invitation, controlPlanes, scriptSha256, asUser }: JoinLine): string {
  for (const word of [invitation, ...controlPlanes])
    if (!PLAIN.test(word)) throw new Error('the control plane gave an address that cannot be written into a command');
  const file = `"$d/${SCRIPT_FILE}"`;
  const downloads = controlPlanes.map(
    (url) => `curl -fsSk --connect-timeout 10 '${url}${INSTALL_PATH}/${SCRIPT_FILE}' -o ${file}`,
  );
  const verified = `{ ${downloads.join(' || ')}; } && echo "${scriptSha256}  $d/${SCRIPT_FILE}" | sha256sum -c - >&2`;
  const start = `${asUser ? '' : '$(command -v sudo) '}sh ${file} '${controlPlanes.join(',')}'`;
  return `d=$(mktemp -d) && { { ${verified}; } || { rm -rf "$d"; false; }; } && printf %s '${invitation}' | ${start}`;
}

/** For a machine that has the command. @throws Error as `bareLine` */
export function installedLine(invitation: string, asUser: boolean): string {
  if (!PLAIN.test(invitation)) throw new Error('the invitation cannot be written into a command');
  return `printf %s '${invitation}' | ${asUser ? '' : 'sudo '}tulle join -`;
}

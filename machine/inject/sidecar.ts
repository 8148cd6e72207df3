/** What a sidecar container is, the same for every tool that starts it. */
import { HTTP_PROXY_PORT } from '../service/proxy-flags.ts';

export interface InjectOptions {
  /** Image of the sidecar, as `tulle:0.1.0`. */
  readonly image: string;
  /** Names of the services, task groups or containers that get a sidecar; empty: all that can have one. */
  readonly only: readonly string[];
  /** Without it the application reaches the mesh by `http_proxy`, and nothing needs NET_ADMIN. */
  readonly capture: boolean;
}

/** The input cannot get a sidecar. One line that names the field and the remedy. */
export class InjectError extends Error {
  override name = 'InjectError';
}

/** Where the image has the program. */
export const PROGRAM = '/tulle';
/** Where a sidecar keeps what it set up, and its certificate: the two belong together (machine/host/layout.ts). */
export const FOLDERS = ['/etc/tulle', '/var/lib/tulle'] as const;

/**
 * What `tulle join` needs in a container to set up capture and to stop the proxy: rules and transparent sockets, the proxy's user and
 * folder, signals to it. The proxy itself runs as another user with none of them.
 */
export const CAPABILITIES = ['NET_ADMIN', 'SETUID', 'SETGID', 'SETPCAP', 'CHOWN', 'DAC_OVERRIDE', 'KILL'] as const;

/** Arguments of the program. @param invitation path of the file that holds it; undefined: it is in TULLE_INVITATION */
export function sidecarArguments(
  invitation: string | undefined,
  { capture }: Pick<InjectOptions, 'capture'>,
): string[] {
  const explicit = capture ? [] : ['--no-capture'];
  const given = invitation === undefined ? [] : [`@${invitation}`];
  return ['join', '--no-service', ...explicit, ...given];
}

/** Ends with 0 once the sidecar has its configuration and certificate. */
export const READY_COMMAND = [PROGRAM, 'check', '--ready'] as const;

/** What an application in explicit mode needs in its environment. */
export const EXPLICIT_ENVIRONMENT: Readonly<Record<string, string>> = {
  http_proxy: `http://127.0.0.1:${HTTP_PROXY_PORT}`,
  no_proxy: '127.0.0.1,localhost',
};

/** @throws InjectError where a chosen name is not there */
export function chosen(names: readonly string[], only: readonly string[], what: string): Set<string> {
  const missing = only.find((name) => !names.includes(name));
  if (missing !== undefined)
    throw new InjectError(`${what} "${missing}": is not in the file, which has ${names.join(', ') || 'none'}`);
  return new Set(only.length > 0 ? only : names);
}

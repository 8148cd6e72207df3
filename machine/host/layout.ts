/** Where a joined machine keeps what: as root for the whole machine, else for one user. */
import { dirname, join } from 'node:path';
import type { Host } from './host.ts';

/** The system user of the proxy: capture exempts its connections. */
export const PROXY_USER = 'tulle';
/** Names of systemd units, without their ending. */
export const PROXY_UNIT = 'tulle-proxy';
export const CAPTURE_UNIT = 'tulle-capture';

export interface HostLayout {
  /** For the whole machine, with capture; else for one user. */
  readonly system: boolean;
  /** What was set up, for root alone to write. */
  readonly config: string;
  /** Of the proxy: key, certificate, last good config. */
  readonly data: string;
  /** Where systemd reads units from. */
  readonly units: string;
  /** User that the proxy runs as; undefined: the one that joins. */
  readonly user: string | undefined;
}

/** Of a user it lies in a folder that the user's own commands may have files in. */
export async function removeConfig(
  host: Pick<Host, 'remove' | 'removeEmptyFolder'>,
  layout: HostLayout,
): Promise<void> {
  await host.remove(layout.config);
  if (!layout.system) await host.removeEmptyFolder(dirname(layout.config));
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws Error where a user has no home */
export function hostLayout(uid: number, environment: Environment): HostLayout {
  if (uid === 0)
    return {
      system: true,
      config: '/etc/tulle',
      data: '/var/lib/tulle',
      units: '/etc/systemd/system',
      user: PROXY_USER,
    };
  const { HOME: home, XDG_CONFIG_HOME: config, XDG_STATE_HOME: state } = environment;
  if (!home) throw new Error('HOME is not set: set it to a folder of the user that joins');
  return {
    system: false,
    config: join(config || join(home, '.config'), 'tulle/machine'),
    data: join(state || join(home, '.local/state'), 'tulle'),
    units: join(config || join(home, '.config'), 'systemd/user'),
    user: undefined,
  };
}

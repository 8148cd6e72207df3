/** The flags of the proxy of a joined machine. */
import type { MachineRecord } from '../join/record.ts';

/** Of the mesh's names: the default of the proxy. */
export const DOMAIN_SUFFIX = 'cluster.local';
/** Of the proxy's admin endpoints, on loopback. */
export const ADMIN_PORT = 15000;
/** For HTTP proxy requests, where traffic is not captured. */
export const HTTP_PROXY_PORT = 15080;
/** How long connections may finish when it stops. */
export const DRAIN_SECONDS = 5;

type Described = Omit<MachineRecord, 'version' | 'applications' | 'madeUser' | 'installed'>;

/** @param data the proxy's folder */
export function proxyFlags(record: Described, data: string): string[] {
  const { namespace, serviceAccount, name, address, labels, group, network, locality } = record;
  const described = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return [
    ...['--control-plane', record.controlPlanes.join(',')],
    ...['--data', data],
    ...['--namespace', namespace],
    ...['--service-account', serviceAccount],
    ...['--name', name],
    ...['--ip', address ?? 'auto'],
    ...(described.length === 0 ? [] : ['--labels', described.join(',')]),
    ...(group === undefined ? [] : ['--group', group]),
    ...(network === undefined ? [] : ['--network', network]),
    ...(locality === undefined ? [] : ['--locality', locality]),
    ...['--admin-port', String(ADMIN_PORT)],
    ...['--drain-seconds', String(DRAIN_SECONDS)],
    // systemd keeps the sockets over a restart; "tulle leave" removes the registration.
    ...(record.service === 'systemd' && record.capture ? ['--leave-on-stop', 'no'] : []),
    ...(record.capture && !record.dns ? ['--dns-port', 'off'] : []),
    ...(record.capture ? ['--interception-mode', 'TPROXY'] : ['--http-proxy-port', String(HTTP_PROXY_PORT)]),
  ];
}
